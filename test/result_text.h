#pragma once
// Lets CHECK() take a result: a failure shows the fault.

#include "actors/result.h"

#include <doctest/doctest.h>

template <class T>
struct doctest::StringMaker<boost::system::result<T, firstlight::fault>> {
    static String convert(const boost::system::result<T, firstlight::fault>& r) {
        return r ? "a value" : r.error().context().c_str();
    }
};

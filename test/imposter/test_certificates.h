#pragma once

#include <string>

namespace firstlight::test {

/// A new authority, and a certificate from it for 127.0.0.1 and localhost. PEM.
struct test_certificates {
    std::string ca;
    std::string certificate;
    std::string private_key;
};

/// Valid for a day.
test_certificates make_certificates();

} // namespace firstlight::test

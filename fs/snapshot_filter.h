#pragma once

#include "actors/result.h"
#include "fs/snapshot_info.h"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace firstlight {

/// A List request's filters, in containerd's grammar:
///
///     filter   := selector ("," selector)*          all must match
///     selector := path [operator value]             without: the field is present
///     path     := field ("." field)*
///     field    := quoted | [A-Za-z0-9_]+
///     operator := "==" | "!=" | "~="                ~= is a regular expression (RE2)
///     value    := quoted | [^\s,]+
///     quoted   := "…" with Go's escapes; the value of ~= may also be /…/ or |…|
///
/// Fields: name, parent, kind (active, view, committed), labels.<key>, where the
/// parts of a path below `labels` are joined with dots. A regular expression
/// that does not compile matches nothing. Source: containerd, package filters.
///
/// Pure; any thread.
class snapshot_filter {
public:
    /// Matches everything.
    snapshot_filter() = default;

    /// One that matches what any of `filters` matches; everything when there is
    /// none. invalid_argument, with the place, when one does not parse, or when
    /// they are longer than 64 KiB together.
    static result<snapshot_filter> parse(const std::vector<std::string>& filters);

    bool matches(const snapshot_info& info) const;

    struct condition; // in the .cc

private:
    using all_of = std::vector<std::shared_ptr<const condition>>;
    std::vector<all_of> any_of_;
};

} // namespace firstlight

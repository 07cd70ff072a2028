#pragma once

#include "actors/result.h"
#include "net/blob_address.h"
#include "net/http_message.h"

#include <cstdint>
#include <optional>
#include <string>

namespace firstlight {

/// What a response to a range_query brings: `length` useful bytes, from `offset`
/// of the blob on, after `skip` bytes to be thrown away.
struct body_plan {
    std::uint64_t offset = 0;
    std::uint64_t skip = 0;
    std::uint64_t length = 0;
    std::optional<std::uint64_t> blob_size;
};

/// What is asked of a blob in one GET, and the judge of the answer. A value,
/// free of I/O. Source: RFC 9110, sections 14 and 15.3.7.
class range_query {
public:
    /// Bytes of the blob; not empty.
    static range_query bytes(byte_range wanted, std::uint64_t max_skip);
    /// The last `n` bytes; n > 0.
    static range_query suffix(std::uint64_t n, std::uint64_t max_skip);
    /// The blob's size alone.
    static range_query size();

    /// The Range header's value.
    std::string header() const;
    /// The bytes asked for.
    std::uint64_t length() const noexcept { return wanted_.size(); }
    /// For faults and logs.
    std::string to_string() const;

    /// Whether this status ends the matter for this query: judge() tells how.
    bool answers(unsigned status) const noexcept;

    /// The plan for an answer's body. Its length is 0 when the answer told the
    /// blob's size only (or the blob is empty). corrupt: the answer contradicts
    /// itself or the query. unsupported: the server does not do such ranges.
    result<body_plan> judge(const http_head& head) const;

private:
    enum class kind { bytes, suffix, size };
    range_query(kind k, byte_range wanted, std::uint64_t max_skip) noexcept
      : kind_(k)
      , wanted_(wanted)
      , max_skip_(max_skip) {}

    result<body_plan> judge_part(const http_head& head) const;
    result<body_plan> judge_whole(const http_head& head) const;
    result<body_plan> judge_refusal(const http_head& head) const;
    result<body_plan> suffix_of(std::uint64_t size) const;

    kind kind_;
    byte_range wanted_; // of a suffix: [0, n)
    std::uint64_t max_skip_;
};

} // namespace firstlight

#include "fs/layer_resolver.h"

#include "actors/log.h"
#include "fs/estargz_footer.h"

#include <algorithm>

namespace firstlight {

namespace {

// Holds the TOC of a layer of some 2000 files; 10 ms of a 200 Mbit/s link.
constexpr std::uint64_t first_request = 256 << 10;
// A TOC is some hundred bytes a file; one that is longer than this is a lie.
constexpr std::uint64_t longest_toc = 256 << 20;

std::int64_t microseconds(deadline::clock::duration d) {
    return std::chrono::duration_cast<std::chrono::microseconds>(d).count();
}

} // namespace

task<result<resolved_layer>> layer_resolver::resolve(
  blob_address blob, std::optional<digest> expected, lane l, deadline patience) {
    const auto began = deadline::clock::now();
    auto tail = co_await registry_.tail(blob, first_request, l, patience);
    if (!tail) {
        co_return tail.error();
    }
    const auto where = parse_footer(tail->data(), tail->blob_size());
    if (!where) {
        co_return where.error().in(blob.to_string());
    }
    if (where->toc_size > longest_toc) {
        co_return fault(errc::unsupported, blob.to_string() + ": its TOC is unreasonably long");
    }
    buffer member(where->toc_size);
    const auto held = std::max(where->toc_offset, tail->offset());
    if (where->toc_offset < tail->offset()) {
        const byte_range missing(where->toc_offset, tail->offset());
        auto rest = co_await registry_.read(blob, missing, l, patience);
        if (!rest) {
            co_return rest.error();
        }
        std::ranges::copy(rest->span(), member.data());
    }
    const auto in_tail =
      tail->data().subspan(held - tail->offset(), where->toc_offset + where->toc_size - held);
    std::ranges::copy(in_tail, member.data() + (held - where->toc_offset));

    const auto blob_size = tail->blob_size();
    const auto fetched = deadline::clock::now();
    auto toc = co_await compile(std::move(member), where->payload_size(), expected, l);
    if (!toc) {
        co_return toc.error().in(blob.to_string());
    }
    log::debug(
      "layer resolved", {{"layer", blob.to_string()},
                         {"toc_bytes", where->toc_size},
                         {"fetch_us", microseconds(fetched - began)},
                         {"compile_us", microseconds(deadline::clock::now() - fetched)}});
    co_return resolved_layer(blob_size, std::move(*toc));
}

task<result<std::shared_ptr<const index>>> layer_resolver::compile(
  buffer member, std::uint64_t payload_size, std::optional<digest> expected, lane l) {
    auto work = [&member, payload_size, &expected]() -> result<compiled_index> {
        toc_input input;
        input.member = member.span();
        input.payload_size = payload_size;
        input.expected = expected;
        return compile_index(input);
    };
    auto compiled = co_await shards_.cpu().run(l, std::move(work));
    if (!compiled) {
        co_return compiled.error();
    }
    auto keep = [this, &compiled]() -> result<std::shared_ptr<const index>> {
        const auto put = store_.put(compiled->toc, compiled->bytes.span());
        if (put) {
            return store_.get(compiled->toc);
        }
        log::warn(
          "cannot keep a layer's index; it stays in memory",
          {{"toc", compiled->toc.to_string()}, {"error", put.error().context()}});
        return index::from_buffer(std::move(compiled->bytes));
    };
    co_return co_await shards_.io().run(l, std::move(keep));
}

} // namespace firstlight

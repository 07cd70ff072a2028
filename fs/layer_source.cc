#include "fs/layer_source.h"

#include <algorithm>
#include <charconv>
#include <string_view>

namespace firstlight {

namespace {

// One family of labels: containerd's own, or stargz-snapshotter's.
struct label_set {
    std::string_view image;
    std::string_view blob;
    std::string_view layers;
};
constexpr label_set cri{
  "containerd.io/snapshot/cri.image-ref", "containerd.io/snapshot/cri.layer-digest",
  "containerd.io/snapshot/cri.image-layers"};
constexpr label_set stargz{
  "containerd.io/snapshot/remote/stargz.reference", "containerd.io/snapshot/remote/stargz.digest",
  "containerd.io/snapshot/remote/stargz.layers"};

constexpr std::string_view toc_digest = "containerd.io/snapshot/stargz/toc.digest";
constexpr std::string_view prefetch = "containerd.io/snapshot/remote/stargz.prefetch";
constexpr std::string_view skip_verify = "containerd.io/snapshot/remote/stargz.skipverify";

std::optional<std::string_view> value_of(const snapshot_labels& labels, std::string_view key) {
    const auto found = labels.find(std::string(key));
    return found == labels.end() ? std::nullopt : std::optional<std::string_view>(found->second);
}

// The list may be cut short in the middle of a digest, since a label holds 4096
// bytes; what does not parse is no neighbour.
std::vector<digest> neighbours_in(std::string_view list, const digest& self) {
    std::vector<digest> found;
    while (!list.empty()) {
        const auto comma = list.find(',');
        const auto parsed = digest::parse(list.substr(0, comma));
        if (parsed && *parsed != self && std::ranges::find(found, *parsed) == found.end()) {
            found.push_back(*parsed);
        }
        list.remove_prefix(comma == std::string_view::npos ? list.size() : comma + 1);
    }
    return found;
}

result<std::optional<std::uint64_t>> prefetch_wish(const snapshot_labels& labels) {
    const auto text = value_of(labels, prefetch);
    if (!text) {
        return std::optional<std::uint64_t>();
    }
    std::uint64_t bytes = 0;
    const auto [end, failed] = std::from_chars(text->data(), text->data() + text->size(), bytes);
    if (failed != std::errc() || end != text->data() + text->size()) {
        return fault(
          errc::invalid_argument,
          "label " + std::string(prefetch) + " is no number of bytes: " + std::string(*text));
    }
    return std::optional(bytes);
}

result<layer_source> read(const snapshot_labels& labels, const label_set& set) {
    layer_source source;
    source.image = *value_of(labels, set.image);
    const auto blob = digest::parse(*value_of(labels, set.blob));
    if (!blob) {
        return blob.error().in("label " + std::string(set.blob));
    }
    source.blob = *blob;
    source.neighbours = neighbours_in(value_of(labels, set.layers).value_or(""), *blob);
    if (const auto text = value_of(labels, toc_digest)) {
        const auto toc = digest::parse(*text);
        if (!toc) {
            return toc.error().in("label " + std::string(toc_digest));
        }
        source.toc = *toc;
    }
    const auto wish = prefetch_wish(labels);
    if (!wish) {
        return wish.error();
    }
    source.prefetch_bytes = *wish;
    source.skip_verification = value_of(labels, skip_verify).has_value();
    return source;
}

} // namespace

result<layer_source> source_from_labels(const snapshot_labels& labels) {
    for (const auto& set : {cri, stargz}) {
        if (value_of(labels, set.image) && value_of(labels, set.blob)) {
            return read(labels, set);
        }
    }
    return fault(
      errc::not_found,
      "no label names the layer's image and digest; are snapshot annotations enabled in "
      "containerd (disable_snapshot_annotations = false)?");
}

} // namespace firstlight

#include "fs/layer_source.h"

#include "actors/buffer.h"

#include <doctest/doctest.h>

using namespace firstlight;

namespace {

const std::string blob = digest::of(as_bytes("layer")).to_string();
const std::string other = digest::of(as_bytes("other")).to_string();
const std::string toc = digest::of(as_bytes("toc")).to_string();

snapshot_labels stargz() {
    return {
      {"containerd.io/snapshot/remote/stargz.reference", "registry.example/app:1"},
      {"containerd.io/snapshot/remote/stargz.digest", blob},
      {"containerd.io/snapshot/remote/stargz.layers", blob + "," + other},
      {"containerd.io/snapshot/remote/stargz.prefetch", "10485760"},
      {"containerd.io/snapshot/stargz/toc.digest", toc}};
}

} // namespace

TEST_CASE("the labels of ctr-remote name image, layer, neighbours, TOC and prefetch size") {
    const auto source = source_from_labels(stargz());
    REQUIRE(source.has_value());
    CHECK(source->image == "registry.example/app:1");
    CHECK(source->blob.to_string() == blob);
    REQUIRE(source->neighbours.size() == 1);
    CHECK(source->neighbours[0].to_string() == other);
    CHECK(source->toc->to_string() == toc);
    CHECK(source->prefetch_bytes == 10485760);
    CHECK_FALSE(source->skip_verification);
}

TEST_CASE("the labels of containerd itself come first") {
    auto labels = stargz();
    labels["containerd.io/snapshot/cri.image-ref"] = "docker.io/library/python:3";
    labels["containerd.io/snapshot/cri.layer-digest"] = other;
    const auto source = source_from_labels(labels);
    REQUIRE(source.has_value());
    CHECK(source->image == "docker.io/library/python:3");
    CHECK(source->blob.to_string() == other);
}

TEST_CASE("a list of neighbours that was cut short loses the digest that was cut") {
    auto labels = stargz();
    labels["containerd.io/snapshot/remote/stargz.layers"] =
      blob + "," + other + "," + toc.substr(0, 30);
    CHECK(source_from_labels(labels)->neighbours.size() == 1);
}

TEST_CASE("labels that name no source say what to switch on") {
    const auto none = source_from_labels({{"containerd.io/snapshot.ref", "sha256:1"}});
    CHECK(none.error().code() == errc::not_found);
    CHECK(none.error().context().find("disable_snapshot_annotations") != std::string::npos);
}

TEST_CASE("labels that are no digest or no number are refused") {
    for (const auto* key :
         {"containerd.io/snapshot/remote/stargz.digest",
          "containerd.io/snapshot/remote/stargz.prefetch",
          "containerd.io/snapshot/stargz/toc.digest"}) {
        CAPTURE(key);
        for (const auto* bad : {"", "12x", "-1", "sha256:abc"}) {
            auto labels = stargz();
            labels[key] = bad;
            CHECK(source_from_labels(labels).error().code() == errc::invalid_argument);
        }
    }
}

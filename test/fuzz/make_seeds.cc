// Writes a few good inputs for each fuzzer: make_seeds DIRECTORY

#include "actors/buffer.h"
#include "fs/index_compiler.h"
#include "fs/read_profile.h"
#include "test/estargz_builder.h"

#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace firstlight {

namespace {

void save(const std::filesystem::path& file, std::string_view content) {
    std::filesystem::create_directories(file.parent_path());
    std::ofstream out(file, std::ios::binary);
    out.write(content.data(), static_cast<std::streamsize>(content.size()));
    if (!out.flush()) {
        throw std::runtime_error("cannot write " + file.string());
    }
}

test::estargz_builder layer(test::estargz_builder::options how) {
    test::estargz_builder b(how);
    b.directory("./", {.mode = 0755, .mtime = 5})
      .file("usr/bin/tool", std::string(9000, 't'), {.xattrs = {{"security.capability", "x"}}})
      .prefetch_landmark()
      .hardlink("usr/bin/alias", "usr/bin/tool")
      .symlink("bin", "usr/bin")
      .whiteout("etc/gone")
      .opaque("var")
      .file("empty", "")
      .character_device("dev/null", 1, 3)
      .fifo("run/pipe");
    return b;
}

void seeds_of(
  const std::filesystem::path& root, const std::string& name, const test::estargz_blob& blob) {
    save(root / "toc" / (name + ".json"), "J" + blob.toc_json);
    save(root / "toc" / (name + ".blob"), "B" + blob.bytes);
    toc_input input;
    input.member = blob.toc_member();
    input.payload_size = blob.toc_offset;
    auto compiled = compile_index(input);
    if (!compiled) {
        throw std::runtime_error(compiled.error().context());
    }
    save(root / "index" / name, as_text(compiled->bytes.span()));
    save(root / "gunzip" / name, std::string("\x10\0\x02\0\x01\x01", 6) + blob.bytes);
}

void seed_of_profile(const std::filesystem::path& root, std::uint64_t reads) {
    read_profile profile(digest::of(as_bytes("toc")), digest::of(as_bytes("blob")));
    std::vector<first_read> seen;
    for (std::uint64_t i = 0; i < reads; ++i) {
        seen.push_back({i * 1000, static_cast<std::uint32_t>(reads - i)});
    }
    profile.learn(seen, "registry.example/app:1");
    profile.learn(seen, "registry.example/app:2");
    save(root / "profile" / std::to_string(reads), as_text(profile.encode().span()));
}

} // namespace
} // namespace firstlight

int main(int argc, char** argv) {
    using namespace firstlight;
    if (argc != 2) {
        std::fputs("usage: make_seeds DIRECTORY\n", stderr);
        return 2;
    }
    try {
        const std::filesystem::path root(argv[1]);
        seeds_of(root, "plain", layer({}).build());
        seeds_of(root, "chunked", layer({.chunk_size = 4096}).build());
        seeds_of(root, "shared", layer({.chunk_size = 4096, .min_chunk_size = 100'000}).build());
        seeds_of(root, "legacy", layer({.legacy = true}).build());
        seeds_of(root, "nothing", test::estargz_builder().build());
        seed_of_profile(root, 0);
        seed_of_profile(root, 5);
    } catch (const std::exception& e) {
        std::fprintf(stderr, "make_seeds: %s\n", e.what());
        return 1;
    }
    return 0;
}

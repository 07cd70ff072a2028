#include "app/cli.h"
#include "fs/profile_store.h"
#include "test/result_text.h"
#include "test/temporary_directory.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

using namespace firstlight;

namespace {

struct outcome {
    int status = 0;
    std::string out;
    std::string err;
};

outcome firstlight_with(std::vector<std::string> words) {
    std::vector<const char*> argv{"firstlight"};
    for (const auto& w : words) {
        argv.push_back(w.c_str());
    }
    std::ostringstream out, err;
    const auto status = run_cli(static_cast<int>(argv.size()), argv.data(), out, err);
    return {status, out.str(), err.str()};
}

std::string content_of(const std::string& file) {
    std::ifstream in(file, std::ios::binary);
    std::ostringstream content;
    content << in.rdbuf();
    return content.str();
}

/// Two nodes' root directories; the first has learned of three layers.
struct node_rig {
    test::temporary_directory disk;
    std::string here = disk / "here", there = disk / "there", file = disk / "profiles.bin";

    node_rig() {
        std::filesystem::create_directory(here);
        std::filesystem::create_directory(there);
        const auto store = profile_store::open(directory(here)).value();
        for (int i = 1; i <= 3; ++i) {
            REQUIRE(store.put(profile(i)));
        }
    }
    static std::string directory(const std::string& root) {
        return profile_store::directory_under(root);
    }
    static digest toc(int i) { return digest::of(as_bytes("toc " + std::to_string(i))); }
    static digest blob(int i) { return digest::of(as_bytes("blob " + std::to_string(i))); }
    static read_profile profile(int i) {
        read_profile p(toc(i), blob(i));
        const std::vector<first_read> seen{{100, 1}, {static_cast<std::uint64_t>(i) * 1000, 2}};
        p.learn(seen, "example/base:1");
        p.learn(seen, "example/app:" + std::to_string(i));
        return p;
    }
    std::size_t known(const std::string& root) const {
        const auto all = profile_store::beside_daemon(directory(root)).list();
        return all ? all->size() : 0;
    }
    result<read_profile> at(const std::string& root, int i) const {
        return profile_store::beside_daemon(directory(root)).read(toc(i));
    }
};

} // namespace

TEST_CASE("firstlight: a mistake in the command line is status 2, help is not one") {
    CHECK(firstlight_with({}).status == 2);
    CHECK(firstlight_with({"profile"}).status == 2);
    CHECK(firstlight_with({"profile", "burn"}).status == 2);
    CHECK(firstlight_with({"profile", "export"}).err.find("--output") != std::string::npos);
    CHECK(firstlight_with({"profile", "import"}).status == 2);
    const auto help = firstlight_with({"profile", "export", "--help"});
    CHECK(help.status == 0);
    CHECK(help.out.find("--output") != std::string::npos);
    CHECK(firstlight_with({"--version"}).out.starts_with("firstlight "));
}

TEST_CASE_FIXTURE(node_rig, "firstlight: profiles are listed with layer, TOC, numbers and images") {
    const auto listed = firstlight_with({"profile", "list", "--root", here});
    CHECK(listed.status == 0);
    for (int i = 1; i <= 3; ++i) {
        CHECK(listed.out.find(toc(i).to_string()) != std::string::npos);
        CHECK(listed.out.find(blob(i).to_string()) != std::string::npos);
    }
    CHECK(listed.out.find("example/app:2,example/base:1\n") != std::string::npos);
    CHECK(listed.out.starts_with("LAYER "));
}

TEST_CASE_FIXTURE(node_rig, "firstlight: a node that has learned nothing has an empty list") {
    const auto listed = firstlight_with({"--root", there, "profile", "list"});
    CHECK(listed.status == 0);
    CHECK(std::ranges::count(listed.out, '\n') == 1);
}

TEST_CASE_FIXTURE(node_rig, "firstlight: the root is the configuration's, if there is no --root") {
    const auto conf = disk / "config.toml";
    test::write_file(conf, "root = '" + here + "'\n");
    CHECK(
      firstlight_with({"profile", "list", "--config", conf}).out.find(toc(1).to_string()) !=
      std::string::npos);
    const auto missing = firstlight_with({"profile", "list", "--config", disk / "none.toml"});
    CHECK(missing.status == 1);
    CHECK(missing.err.find("none.toml") != std::string::npos);
    const auto nowhere = firstlight_with({"profile", "list", "--root", disk / "none"});
    CHECK(nowhere.status == 1);
    CHECK(nowhere.err.find("--root") != std::string::npos);
}

TEST_CASE_FIXTURE(node_rig, "firstlight: all that is exported is there after the import") {
    CHECK(firstlight_with({"profile", "export", "-o", file, "--root", here}).status == 0);
    const auto imported = firstlight_with({"profile", "import", file, "--root", there});
    CHECK(imported.status == 0);
    CHECK(imported.out == "imported profiles of 3 layers\n");
    for (int i = 1; i <= 3; ++i) {
        CHECK(at(there, i).value() == profile(i));
    }
}

TEST_CASE_FIXTURE(node_rig, "firstlight: layers and images choose what is exported") {
    std::size_t expected = 1;
    std::vector<std::string> names;
    SUBCASE("by layer") {
        names = {blob(2).to_string()};
    }
    SUBCASE("by TOC") {
        names = {toc(2).to_string()};
    }
    SUBCASE("by image") {
        names = {"example/app:2"};
    }
    SUBCASE("twice") {
        names = {"example/app:2", blob(2).to_string()};
    }
    SUBCASE("by an image of all") {
        names = {"example/base:1"};
        expected = 3;
    }
    std::vector<std::string> words{"profile", "export", "-o", file, "--root", here};
    words.insert(words.end(), names.begin(), names.end());
    CHECK(firstlight_with(words).status == 0);
    CHECK(firstlight_with({"profile", "import", file, "--root", there}).status == 0);
    CHECK(known(there) == expected);
    CHECK(at(there, 2).value() == profile(2));
}

TEST_CASE_FIXTURE(node_rig, "firstlight: what is not known is not exported, and no file written") {
    const auto failed = firstlight_with(
      {"profile", "export", "example/app:2", "no/such:1", "-o", file, "--root", here});
    CHECK(failed.status == 1);
    CHECK(failed.err.find("no/such:1") != std::string::npos);
    CHECK_FALSE(std::filesystem::exists(file));
}

TEST_CASE_FIXTURE(
  node_rig, "firstlight: two exports put together are one, and replace what is known") {
    const auto changed = [] {
        auto p = profile(1);
        p.learn(std::vector<first_read>{{77, 0}}, "example/other:1");
        return p;
    }();
    const auto first =
      firstlight_with({"profile", "export", blob(1).to_string(), "-o", "-", "--root", here});
    CHECK(first.status == 0);
    CHECK(profile_store::beside_daemon(directory(here)).put(changed));
    const auto second = firstlight_with({"profile", "export", "-o", "-", "--root", here});
    test::write_file(file, first.out + second.out);
    CHECK(
      firstlight_with({"profile", "import", file, "--root", there}).out ==
      "imported profiles of 3 layers\n");
    CHECK(at(there, 1).value() == changed);
}

TEST_CASE_FIXTURE(node_rig, "firstlight: a file with a fault in it is imported not at all") {
    REQUIRE(firstlight_with({"profile", "export", "-o", file, "--root", here}).status == 0);
    auto content = content_of(file);
    SUBCASE("torn") {
        content.resize(content.size() - 1);
    }
    SUBCASE("damaged") {
        content[content.size() / 2] ^= 1;
    }
    SUBCASE("something else") {
        content = "hello";
    }
    SUBCASE("empty") {
        content.clear();
    }
    test::write_file(file, content);
    const auto failed = firstlight_with({"profile", "import", file, "--root", there});
    CHECK(failed.status == 1);
    CHECK(failed.err.find(file) != std::string::npos);
    CHECK(known(there) == 0);
    const auto missing = firstlight_with({"profile", "import", disk / "none", "--root", there});
    CHECK(missing.status == 1);
    CHECK(missing.err.find("none") != std::string::npos);
}

TEST_CASE_FIXTURE(
  node_rig, "firstlight: a damaged profile is told, left alone, and holds up no other") {
    const auto path = directory(here) + "/" + toc(2).hex();
    test::write_file(path, "damaged");
    const auto listed = firstlight_with({"profile", "list", "--root", here});
    CHECK(listed.status == 1);
    CHECK(listed.err.find(toc(2).hex()) != std::string::npos);
    CHECK(listed.out.find(toc(3).to_string()) != std::string::npos);
    CHECK(content_of(path) == "damaged");
    CHECK(firstlight_with({"profile", "export", "-o", file, "--root", here}).status == 1);
    CHECK(firstlight_with({"profile", "import", file, "--root", there}).status == 0);
    CHECK(known(there) == 2);
}

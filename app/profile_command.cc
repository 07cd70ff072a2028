#include "app/profile_command.h"

#include "fs/profile_store.h"

#include <CLI/CLI.hpp>
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <set>
#include <sstream>
#include <utility>
#include <vector>

namespace firstlight {

namespace {

constexpr std::size_t largest_import = 64 << 20; // what a node keeps at most

struct profile_options {
    std::vector<std::string> names; // of layers and images; empty: all
    std::string file;               // "-": standard output or input
};

struct known_profile {
    read_profile profile;
    std::int64_t used_ns = 0;
};

struct known_profiles {
    std::vector<known_profile> all; // the last used first
    std::string damaged;            // what was passed over, or nothing
};

result<known_profiles> read_all(const profile_store& store) {
    known_profiles known;
    const auto files = store.list();
    if (!files && files.error().code() == errc::not_found) {
        return known; // nothing has been learned yet
    }
    if (!files) {
        return files.error();
    }
    for (auto f = files->rbegin(); f != files->rend(); ++f) {
        auto profile = store.read(f->name);
        if (profile) {
            known.all.push_back({std::move(*profile), f->used_ns});
        } else if (profile.error().code() != errc::not_found) { // the daemon was faster
            known.damaged += (known.damaged.empty() ? "" : "; ") + profile.error().context();
        }
    }
    return known;
}

result<profile_store> store_of(const cli_context& context) {
    const auto root = context.root_directory();
    if (!root) {
        return root.error();
    }
    return profile_store::beside_daemon(profile_store::directory_under(*root));
}

result<void> fault_of_damage(const known_profiles& known) {
    if (known.damaged.empty()) {
        return {};
    }
    return fault(errc::corrupt, "passed over: " + known.damaged);
}

std::string when(std::int64_t ns) {
    return fmt::format(
      "{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(static_cast<std::time_t>(ns / 1'000'000'000)));
}

result<void> list_profiles(const cli_context& context) {
    const auto store = store_of(context);
    if (!store) {
        return store.error();
    }
    const auto known = read_all(*store);
    if (!known) {
        return known.error();
    }
    constexpr auto row = "{:<71}  {:<71}  {:>5}  {:>6}  {:<20}  {}\n";
    context.out << fmt::format(row, "LAYER", "TOC", "READS", "STARTS", "USED", "IMAGES");
    for (const auto& [profile, used_ns] : known->all) {
        context.out << fmt::format(
          row, profile.blob().to_string(), profile.toc().to_string(), profile.reads().size(),
          profile.starts(), when(used_ns), fmt::join(profile.images(), ","));
    }
    return fault_of_damage(*known);
}

bool is_called(const read_profile& profile, const std::string& name) {
    return profile.blob().to_string() == name || profile.toc().to_string() == name ||
           std::ranges::find(profile.images(), name) != profile.images().end();
}

// The profiles that any of `names` names; each name must name one.
result<std::vector<read_profile>>
chosen(std::vector<known_profile> all, const std::vector<std::string>& names) {
    for (const auto& name : names) {
        const auto named = [&name](const known_profile& k) { return is_called(k.profile, name); };
        if (std::ranges::none_of(all, named)) {
            return fault(
              errc::not_found,
              "no profile of " + name + "; `firstlight profile list` shows what there is");
        }
    }
    std::vector<read_profile> some;
    for (auto& k : all) {
        const auto names_it = [&k](const std::string& name) { return is_called(k.profile, name); };
        if (names.empty() || std::ranges::any_of(names, names_it)) {
            some.push_back(std::move(k.profile));
        }
    }
    return some;
}

result<void> write_to(std::ostream& to, const std::vector<read_profile>& profiles) {
    for (const auto& profile : profiles) {
        const auto bytes = profile.encode();
        to.write(
          reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    }
    to.flush();
    return to ? result<void>() : errno_fault(errno, "write profiles");
}

result<void> export_profiles(const cli_context& context, const profile_options& o) {
    const auto store = store_of(context);
    if (!store) {
        return store.error();
    }
    auto known = read_all(*store);
    if (!known) {
        return known.error();
    }
    const auto profiles = chosen(std::move(known->all), o.names);
    if (!profiles) {
        return profiles.error();
    }
    if (o.file == "-") {
        if (auto done = write_to(context.out, *profiles); !done) {
            return done;
        }
        return fault_of_damage(*known);
    }
    errno = 0;
    std::ofstream to(o.file, std::ios::binary | std::ios::trunc);
    if (!to) {
        return errno_fault(errno, "write " + o.file);
    }
    if (auto done = write_to(to, *profiles); !done) {
        return done.error().in(o.file);
    }
    context.out << "exported " << profiles->size() << " profiles\n";
    return fault_of_damage(*known);
}

result<std::string> content_of(std::istream& in, const std::string& name) {
    std::string content(largest_import + 1, '\0');
    in.read(content.data(), static_cast<std::streamsize>(content.size()));
    if (in.bad()) {
        return errno_fault(errno, "read " + name);
    }
    content.resize(static_cast<std::size_t>(in.gcount()));
    if (content.size() > largest_import) {
        return fault(errc::invalid_argument, name + ": more than 64 MiB of profiles");
    }
    return content;
}

result<std::string> content_of(const std::string& file) {
    if (file == "-") {
        return content_of(std::cin, "the standard input");
    }
    errno = 0;
    std::ifstream in(file, std::ios::binary);
    if (!in) {
        return errno_fault(errno, "read " + file);
    }
    return content_of(in, file);
}

result<std::vector<read_profile>> profiles_in(const std::string& content) {
    std::vector<read_profile> all;
    auto rest = as_bytes(content);
    while (!rest.empty()) {
        auto decoded = read_profile::decode(rest);
        if (!decoded) {
            return decoded.error().in("at byte " + std::to_string(content.size() - rest.size()));
        }
        rest = rest.subspan(decoded->bytes);
        all.push_back(std::move(decoded->profile));
    }
    if (all.empty()) {
        return fault(errc::invalid_argument, "no profile in it");
    }
    return all;
}

// All or nothing, as far as the file is to blame.
result<void> import_profiles(const cli_context& context, const profile_options& o) {
    const auto store = store_of(context);
    if (!store) {
        return store.error();
    }
    const auto content = content_of(o.file);
    if (!content) {
        return content.error();
    }
    const auto profiles = profiles_in(*content);
    if (!profiles) {
        return profiles.error().in(o.file);
    }
    std::error_code error;
    std::filesystem::create_directory(store->directory(), error);
    if (error) {
        return errno_fault(error.value(), "make directory " + store->directory());
    }
    std::set<digest> layers;
    for (const auto& profile : *profiles) {
        if (auto done = store->put(profile); !done) {
            return done;
        }
        layers.insert(profile.toc());
    }
    context.out << "imported profiles of " << layers.size() << " layers\n";
    return {};
}

} // namespace

void add_profile_command(CLI::App& app, cli_context& context) {
    const auto options = std::make_shared<profile_options>();
    auto* profile = app.add_subcommand(
      "profile", "What containers read first of each layer, which is prefetched at the next mount");
    profile->require_subcommand(1);

    auto* list = profile->add_subcommand("list", "Show the profiles, the last used first");
    list->callback([&context] { context.todo = [&context] { return list_profiles(context); }; });

    auto* out = profile->add_subcommand("export", "Write profiles to a file");
    out->add_option(
      "NAME", options->names,
      "A layer's digest, or its TOC's, or an image as `list` shows it; without one, all");
    out->add_option("-o,--output", options->file, "The file to write; - is the standard output")
      ->required();
    out->callback([&context, options] {
        context.todo = [&context, options] { return export_profiles(context, *options); };
    });

    auto* in = profile->add_subcommand(
      "import", "Take profiles from a file, in place of those of the same layers");
    in->add_option("FILE", options->file, "What `export` wrote; - is the standard input")
      ->required();
    in->callback([&context, options] {
        context.todo = [&context, options] { return import_profiles(context, *options); };
    });
}

} // namespace firstlight

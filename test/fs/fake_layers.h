#pragma once
// A layer provider whose layers are names: the label "test/layer" says which. It
// keeps their numbers in the store, as the real one does.

#include "actors/buffer.h"
#include "actors/event.h"
#include "fs/layer_provider.h"
#include "fs/store_writer.h"

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace firstlight::test {

class fake_layers final : public layer_provider {
public:
    explicit fake_layers(store_writer& store)
      : store_(store) {}

    task<result<lazy_layer>> open(const snapshot_labels& labels, deadline) override {
        ++opens;
        overlapped = overlapped || closing_;
        ++opening_;
        const auto name = labels.contains("test/layer") ? labels.at("test/layer") : "";
        auto add = [name](snapshot_store& s) {
            const auto d = digest::of(as_bytes(name));
            return s.find_or_add_layer(d, d, 1000, "registry/image:" + name);
        };
        const auto number = co_await store_.run(std::move(add));
        while (held) {
            co_await released.wait();
        }
        --opening_;
        if (failure) {
            co_return *failure;
        }
        if (!number) {
            co_return number.error();
        }
        mounted.insert(*number);
        co_return lazy_layer(*number, 1234, 5678, 0750);
    }

    result<lazy_layer> find(std::uint32_t number) const override {
        if (!mounted.contains(number)) {
            return fault(errc::not_found, "not mounted");
        }
        return lazy_layer(number, 1234, 5678, 0750);
    }

    task<void> await_prefetch(std::vector<std::uint32_t> numbers, std::stop_token stop) override {
        awaited.push_back(std::move(numbers));
        while (prefetching && !stop.stop_requested()) {
            co_await released.wait_for(std::chrono::hours(1), stop);
        }
    }

    task<void> close(std::uint32_t number) override {
        overlapped = overlapped || opening_ > 0;
        closing_ = true;
        mounted.erase(number);
        closed.push_back(number);
        auto nothing = [](snapshot_store&) { return result<void>(); };
        (void)co_await store_.run(std::move(nothing));
        closing_ = false;
    }

    std::string directory(std::uint32_t number) const override {
        return "/lazy/" + std::to_string(number);
    }

    disk_use usage(std::uint32_t number) const override { return {number * 100, number}; }

    // For tests, on the home shard or while it is idle.
    std::optional<fault> failure; // what open() answers instead
    bool held = false;            // open() waits for `released` while so
    event released;
    std::vector<std::vector<std::uint32_t>> awaited; // prefetches, by call
    bool prefetching = false;                        // await_prefetch() waits while so
    unsigned opens = 0;
    std::set<std::uint32_t> mounted;
    std::vector<std::uint32_t> closed;
    bool overlapped = false; // open and close did, and must not

private:
    store_writer& store_;
    bool closing_ = false;
    unsigned opening_ = 0;
};

} // namespace firstlight::test

#pragma once

#include "cache/chunk.h"
#include "cache/lru_map.h"

#include <vector>

namespace firstlight {

/// The chunks on disk that one shard can read at once, by digest; the least
/// recently used goes first. What is here is pinned, so eviction asks to drop().
/// Single-shard.
class handle_table {
public:
    explicit handle_table(std::size_t capacity) noexcept
      : capacity_(capacity) {}

    const chunk_handle* find(const digest& id) noexcept {
        const auto s = handles_.find(id);
        if (s == handles_.none) {
            return nullptr;
        }
        handles_.touch(s);
        return &handles_.value(s);
    }

    void put(const digest& id, chunk_handle h) {
        if (const auto s = handles_.find(id); s != handles_.none) {
            handles_.value(s) = std::move(h);
            handles_.touch(s);
            return;
        }
        if (capacity_ == 0) {
            return;
        }
        if (handles_.size() >= capacity_) {
            handles_.erase(handles_.oldest());
        }
        handles_.insert(id, std::move(h));
    }

    void drop(const std::vector<digest>& ids) noexcept {
        for (const auto& id : ids) {
            if (const auto s = handles_.find(id); s != handles_.none) {
                handles_.erase(s);
            }
        }
    }

    void clear() noexcept {
        while (handles_.size() > 0) {
            handles_.erase(handles_.oldest());
        }
    }

private:
    const std::size_t capacity_;
    lru_map<chunk_handle> handles_;
};

} // namespace firstlight

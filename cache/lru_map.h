#pragma once

#include "actors/digest.h"

#include <cassert>
#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

namespace firstlight {

/// Digest → T, in order of use. Compact, because there may be millions: entries
/// lie in a slab that is never moved and are linked by number; a table of such
/// numbers, at most three quarters full, finds them.
///
/// Looking up and touching neither allocate nor throw. Pointers to T stay valid
/// until that entry is erased. Single-shard.
template <class T>
class lru_map {
public:
    using slot = std::uint32_t;
    static constexpr slot none = ~slot{0};

    std::size_t size() const noexcept { return size_; }

    slot find(const digest& d) const noexcept {
        if (size_ == 0) {
            return none;
        }
        for (auto at = home(d);; at = next(at)) {
            const auto s = table_[at];
            if (s == none || slab_[s].key == d) {
                return s;
            }
        }
    }

    T& value(slot s) noexcept { return slab_[s].value; }
    const T& value(slot s) const noexcept { return slab_[s].value; }
    const digest& key(slot s) const noexcept { return slab_[s].key; }

    /// The least recently used, or none.
    slot oldest() const noexcept { return oldest_; }
    /// The one used next after `s`, or none.
    slot newer(slot s) const noexcept { return slab_[s].newer; }
    /// Makes it the most recently used.
    void touch(slot s) noexcept {
        if (s != newest_) {
            unlink(s);
            link(s);
        }
    }

    /// Adds what is not there yet, as the most recently used.
    slot insert(const digest& d, T value) {
        assert(find(d) == none);
        grow_if_full();
        slot s;
        if (free_ != none) {
            s = free_;
            free_ = slab_[s].newer;
            slab_[s].value = std::move(value);
        } else {
            s = static_cast<slot>(slab_.size());
            slab_.emplace_back(d, std::move(value));
        }
        slab_[s].key = d;
        slab_[s].live = true;
        link(s);
        place(s);
        ++size_;
        return s;
    }

    void erase(slot s) noexcept {
        remove_from_table(s);
        unlink(s);
        auto& gone = slab_[s];
        gone.value = T();
        gone.live = false;
        gone.newer = free_;
        free_ = s;
        --size_;
    }

    /// For walking over all in slices, in no order: slots below this, if live.
    slot slots() const noexcept { return static_cast<slot>(slab_.size()); }
    bool live(slot s) const noexcept { return slab_[s].live; }

private:
    struct node {
        node(const digest& d, T v)
          : key(d)
          , value(std::move(v)) {}
        digest key;
        T value;
        slot older = none;
        slot newer = none; // of a free node: the next free one
        bool live = true;
    };

    // The low bits of the hash chose the partition, hence the shard: all keys
    // here may share them.
    std::size_t home(const digest& d) const noexcept {
        return (d.hash() >> 16) & (table_.size() - 1);
    }
    std::size_t next(std::size_t at) const noexcept { return (at + 1) & (table_.size() - 1); }

    void place(slot s) noexcept {
        auto at = home(slab_[s].key);
        while (table_[at] != none) {
            at = next(at);
        }
        table_[at] = s;
    }

    void grow_if_full() {
        if ((size_ + 1) * 4 <= table_.size() * 3) {
            return;
        }
        table_.assign(table_.empty() ? 16 : table_.size() * 2, none);
        for (slot s = oldest_; s != none; s = slab_[s].newer) {
            place(s);
        }
    }

    // Linear probing without tombstones: entries behind the gap move up when
    // their home lies at or before it.
    void remove_from_table(slot s) noexcept {
        auto gap = home(slab_[s].key);
        while (table_[gap] != s) {
            gap = next(gap);
        }
        const auto mask = table_.size() - 1;
        for (auto at = next(gap); table_[at] != none; at = next(at)) {
            const auto from = home(slab_[table_[at]].key);
            if (((at - from) & mask) >= ((at - gap) & mask)) {
                table_[gap] = table_[at];
                gap = at;
            }
        }
        table_[gap] = none;
    }

    void link(slot s) noexcept {
        slab_[s].older = newest_;
        slab_[s].newer = none;
        (newest_ == none ? oldest_ : slab_[newest_].newer) = s;
        newest_ = s;
    }

    void unlink(slot s) noexcept {
        auto& n = slab_[s];
        (n.older == none ? oldest_ : slab_[n.older].newer) = n.newer;
        (n.newer == none ? newest_ : slab_[n.newer].older) = n.older;
    }

    std::deque<node> slab_;
    std::vector<slot> table_; // a power of two
    std::size_t size_ = 0;
    slot oldest_ = none;
    slot newest_ = none;
    slot free_ = none;
};

} // namespace firstlight

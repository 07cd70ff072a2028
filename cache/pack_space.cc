#include "cache/pack_space.h"

#include <algorithm>
#include <utility>

namespace firstlight {

pack_space::place pack_space::append(std::uint64_t bytes) {
    if (!current_ || packs_[*current_].end >= pack_bytes_) {
        if (current_ && packs_[*current_].live == 0) {
            dead_.push_back(*current_);
        }
        current_ = next_++;
        packs_.try_emplace(*current_);
    }
    auto& p = packs_[*current_];
    place at;
    at.pack = *current_;
    at.offset = p.end;
    p.end += bytes;
    count(at.pack, bytes);
    return at;
}

void pack_space::count(std::uint32_t pack, std::uint64_t bytes) {
    packs_[pack].allocated += bytes;
    allocated_ += bytes;
}

pack_space::place pack_space::put(std::uint64_t size) {
    if (size >= block_size) {
        const auto at = append(round_up(size));
        ++packs_[at.pack].live;
        return at;
    }
    if (small_left_ < size) {
        small_ = append(block_size);
        small_left_ = block_size;
    }
    const auto at = small_;
    small_.offset += size;
    small_left_ -= size;
    ++small_live_[block_of(at)];
    ++packs_[at.pack].live;
    return at;
}

std::optional<pack_space::hole> pack_space::release(place at, std::uint64_t size) {
    auto& p = packs_[at.pack];
    if (--p.live == 0 && current_ != at.pack) {
        dead_.push_back(at.pack);
    }
    hole free;
    free.pack = at.pack;
    if (size >= block_size) {
        free.offset = at.offset;
        free.length = round_up(size);
        return free;
    }
    const auto block = small_live_.find(block_of(at));
    if (--block->second > 0) {
        return std::nullopt;
    }
    small_live_.erase(block);
    free.offset = at.offset / block_size * block_size;
    free.length = block_size;
    if (
      small_left_ > 0 && small_.pack == at.pack &&
      small_.offset / block_size == at.offset / block_size) {
        small_left_ = 0; // it was still being filled; the next starts a new block
    }
    return free;
}

void pack_space::punched(const hole& h) {
    if (const auto p = packs_.find(h.pack); p != packs_.end()) {
        p->second.allocated -= h.length;
        allocated_ -= h.length;
    }
}

std::vector<std::uint32_t> pack_space::take_dead() {
    for (const auto id : dead_) {
        allocated_ -= packs_[id].allocated; // where punching failed
        packs_.erase(id);
    }
    return std::exchange(dead_, {});
}

void pack_space::adopt(place at, std::uint64_t size) {
    ++packs_[at.pack].live;
    if (size >= block_size) {
        count(at.pack, round_up(size));
    } else if (++small_live_[block_of(at)] == 1) {
        count(at.pack, block_size);
    }
}

void pack_space::resume(std::uint32_t pack, std::uint64_t end) {
    next_ = std::max(next_, pack + 1);
    if (const auto p = packs_.find(pack); p != packs_.end()) {
        p->second.end = std::max(p->second.end, round_up(end));
        current_ = std::max(current_.value_or(0), pack);
    }
}

std::optional<std::uint32_t> pack_space::sparsest() const {
    std::optional<std::uint32_t> found;
    for (const auto& [id, p] : packs_) {
        if (current_ != id && p.live > 0 && (!found || p.allocated < packs_.at(*found).allocated)) {
            found = id;
        }
    }
    return found;
}

} // namespace firstlight

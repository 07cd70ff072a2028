#include "cache/unsaved_chunks.h"

namespace firstlight {

chunk_handle unsaved_chunks::find(const digest& id) noexcept {
    for (auto& each : waiting_) {
        if (const auto s = each.find(id); s != each.none) {
            each.touch(s);
            return each.value(s);
        }
    }
    const auto w = writing_.find(id);
    return w == writing_.end() ? nullptr : w->second;
}

bool unsaved_chunks::contains(const digest& id) const noexcept {
    for (const auto& each : waiting_) {
        if (each.find(id) != each.none) {
            return true;
        }
    }
    return writing_.contains(id);
}

std::size_t unsaved_chunks::add(item i) {
    if (contains(i.id)) {
        return 0;
    }
    bytes_ += i.content->size();
    waiting_[index_of(i.urgency)].insert(i.id, std::move(i.content));
    return trim();
}

std::size_t unsaved_chunks::trim() {
    std::size_t dropped = 0;
    std::size_t kept = writing_.size();
    for (const auto& each : waiting_) {
        kept += each.size();
    }
    for (auto l = lane_count; l-- > 0;) {
        auto& from = waiting_[l];
        while (bytes_ > budget_ && kept > 1 && from.size() > 0) {
            bytes_ -= from.value(from.oldest())->size();
            from.erase(from.oldest());
            --kept;
            ++dropped;
        }
    }
    return dropped;
}

bool unsaved_chunks::empty() const noexcept {
    for (const auto& each : waiting_) {
        if (each.size() > 0) {
            return false;
        }
    }
    return true;
}

std::vector<unsaved_chunks::item>
unsaved_chunks::take(std::uint64_t max_bytes, std::size_t max_count) {
    std::vector<item> taken;
    std::uint64_t bytes = 0;
    for (std::size_t l = 0; l < lane_count; ++l) {
        auto& from = waiting_[l];
        // One lane at a time: the batch is written in the lane of its first.
        while (from.size() > 0 && taken.size() < max_count && bytes < max_bytes) {
            item i;
            i.id = from.key(from.oldest());
            i.content = std::move(from.value(from.oldest()));
            i.urgency = static_cast<lane>(l);
            from.erase(from.oldest());
            bytes += i.content->size();
            writing_.emplace(i.id, i.content);
            taken.push_back(std::move(i));
        }
        if (!taken.empty()) {
            break;
        }
    }
    return taken;
}

void unsaved_chunks::done(const item& i) {
    if (writing_.erase(i.id) > 0) {
        bytes_ -= i.content->size();
    }
}

std::size_t unsaved_chunks::put_back(item i) {
    done(i);
    return add(std::move(i));
}

} // namespace firstlight

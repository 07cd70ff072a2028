#include "fs/layer_manager.h"

#include "actors/call.h"
#include "actors/log.h"

#include <algorithm>

namespace firstlight {

namespace {

constexpr auto resolve_patience = std::chrono::seconds(30);
constexpr auto warm_patience = std::chrono::seconds(10);
constexpr std::size_t warm_connections = 2; // on each shard: a read and its look-ahead

lazy_layer as_overlay_needs(const layer& l) {
    const auto root = l.toc().attributes(0);
    return {l.number(), root.uid, root.gid, root.mode & 07777};
}

task<result<void>> warm_on(registry_client& registry, blob_address blob) {
    co_await registry.warm(std::move(blob), warm_connections, deadline::after(warm_patience));
    co_return result<void>();
}

} // namespace

layer_manager::layer_manager(
  runtime& shards, layer_table& layers, store_writer& store, index_store indexes,
  std::vector<std::unique_ptr<layer_services>>& services, layer_filler& filler,
  learned_prefetch* learned, layer_errors& errors, fs_metrics& counted, forget_directory forget,
  options o)
  : shards_(shards)
  , layers_(layers)
  , store_(store)
  , indexes_(std::move(indexes))
  , services_(services)
  , filler_(filler)
  , learned_(learned)
  , errors_(errors)
  , counted_(counted)
  , forget_(std::move(forget))
  , options_(std::move(o))
  , tasks_(shards.at(0)) {
}

layer_manager::~layer_manager() = default;

task<void> layer_manager::stop() {
    if (learned_) {
        co_await learned_->stop();
    }
    co_await tasks_.stop();
    co_await filler_.stop();
}

std::string layer_manager::directory(std::uint32_t number) const {
    return options_.mountpoint + "/" + std::to_string(number);
}

result<lazy_layer> layer_manager::find(std::uint32_t number) const {
    const auto l = layers_.find(number);
    if (!l) {
        return fault(errc::unavailable, "layer " + std::to_string(number) + " is not mounted");
    }
    return as_overlay_needs(*l);
}

// What cannot be checked against the image's manifest is not mounted, unless the
// operator says otherwise.
result<void> layer_manager::may_mount(const layer_source& source) const {
    const bool waived =
      options_.disable_verification || (options_.allow_skip_label && source.skip_verification);
    if (source.toc || waived) {
        return {};
    }
    return fault(
      errc::failed_precondition,
      "no label containerd.io/snapshot/stargz/toc.digest, so the layer cannot be verified");
}

task<result<lazy_layer>> layer_manager::open(const snapshot_labels& labels, deadline until) {
    const auto began = deadline::clock::now();
    auto source = source_from_labels(labels);
    if (!source) {
        co_return source.error();
    }
    if (auto allowed = may_mount(*source); !allowed) {
        co_return allowed.error();
    }
    const auto image = image_reference::parse(source->image);
    if (!image) {
        co_return image.error();
    }
    if (options_.disable_verification) {
        source->toc.reset();
    }
    result<resolved_layer> resolved = fault(errc::not_found, "not seen before");
    if (source->toc) {
        resolved = co_await known(*source->toc);
    }
    if (!resolved) {
        resolve_neighbours(*source, *image);
        resolved = co_await resolve(image->blob(source->blob), source->toc, lane::demand, until);
    }
    if (!resolved) {
        co_return resolved.error();
    }
    auto mounted = co_await mount(*source, *image, std::move(*resolved));
    if (!mounted) {
        co_return mounted.error();
    }
    counted_.layers_mounted.add();
    counted_.open_layer.record(deadline::clock::now() - began);
    follow_up(*mounted, *source);
    co_return as_overlay_needs(**mounted);
}

// The stored index of a TOC. The blob's size is not in it and matters only to
// people (the state file), so its data's size stands in for it.
task<result<resolved_layer>> layer_manager::known(digest toc) {
    auto get = [this, toc]() -> result<std::shared_ptr<const index>> { return indexes_.get(toc); };
    auto stored = co_await shards_.io().run(lane::demand, std::move(get));
    if (!stored) {
        if (stored.error().code() == errc::corrupt) {
            log::warn("stored index is damaged", {{"error", stored.error().context()}});
        }
        co_return stored.error();
    }
    const auto size = (*stored)->payload_size();
    co_return resolved_layer(size, std::move(*stored));
}

// Each blob is resolved once, whoever asks; what was resolved for a neighbour is
// kept until its own Prepare comes.
task<result<resolved_layer>>
layer_manager::resolve(blob_address blob, std::optional<digest> expected, lane l, deadline until) {
    drop_stale_resolutions();
    if (const auto found = resolving_.find(blob.blob()); found != resolving_.end()) {
        const auto joined = found->second;
        while (!joined->outcome) {
            const auto left = until.left();
            const bool in_time = left > left.zero() && co_await joined->done.wait_for(left);
            if (!in_time && !joined->outcome) {
                co_return fault(errc::timed_out, blob.to_string() + ": not resolved in time");
            }
        }
        const auto& outcome = *joined->outcome;
        const bool as_expected =
          outcome && (!expected || outcome->toc()->toc_digest() == *expected);
        if (as_expected) {
            co_return outcome;
        }
        // A failure or another TOC may be of the moment: ask again, on our own.
        co_return co_await resolve_there(blob, expected, l, until);
    }
    const auto mine = std::make_shared<resolution>();
    resolving_.emplace(blob.blob(), mine);
    auto outcome = co_await resolve_there(blob, expected, l, until);
    mine->outcome = outcome;
    mine->until = deadline::clock::now() + options_.resolved_ttl;
    if (!outcome) {
        resolving_.erase(blob.blob());
    }
    mine->done.notify_all();
    co_return outcome;
}

task<result<resolved_layer>> layer_manager::resolve_there(
  blob_address blob, std::optional<digest> expected, lane l, deadline until) {
    auto& home = shards_.shard_of(blob.blob().hash());
    auto& resolver = *services_[home.id()]->resolver;
    auto work = [&resolver, blob, expected, l, until] {
        return resolver.resolve(blob, expected, l, until);
    };
    co_return co_await call_on(home, l, std::move(work));
}

void layer_manager::drop_stale_resolutions() {
    const auto now = deadline::clock::now();
    std::erase_if(resolving_, [now](const auto& entry) {
        return entry.second->outcome && entry.second->until < now;
    });
}

void layer_manager::resolve_neighbours(const layer_source& source, const image_reference& image) {
    drop_stale_resolutions();
    for (const auto& neighbour : source.neighbours) {
        if (resolving_.contains(neighbour)) {
            continue;
        }
        const auto blob = image.blob(neighbour);
        tasks_.spawn("resolve neighbour", lane::prefetch, [this, blob](std::stop_token) {
            return resolve_neighbour(blob);
        });
    }
}

task<void> layer_manager::resolve_neighbour(blob_address blob) {
    auto done =
      co_await resolve(blob, std::nullopt, lane::prefetch, deadline::after(resolve_patience));
    if (!done) { // its own Prepare will say so, if it matters
        log::debug(
          "neighbour not resolved",
          {{"blob", blob.to_string()}, {"error", done.error().context()}});
    }
}

task<result<layer_ptr>> layer_manager::mount(
  const layer_source& source, const image_reference& image, resolved_layer resolved) {
    const auto toc = resolved.toc()->toc_digest();
    if (source.toc && toc != *source.toc) {
        co_return fault(
          errc::corrupt, "the TOC hashes to " + toc.to_string() + ", not to " +
                           source.toc->to_string() + " as the image says");
    }
    auto record = [blob = source.blob, toc, size = resolved.blob_size(), reference = source.image](
                    snapshot_store& s) { return s.find_or_add_layer(blob, toc, size, reference); };
    auto number = co_await store_.run(std::move(record));
    if (!number) {
        co_return number.error();
    }
    const auto address = image.blob(source.blob);
    std::vector<blob_address> sources{address};
    if (const auto before = layers_.find(*number)) {
        for (const auto& s : before->sources()) {
            if (s != address) {
                sources.push_back(s);
            }
        }
        if (sources.size() == before->sources().size() && before->sources()[0] == address) {
            co_return before;
        }
    }
    co_return co_await enter(
      *number, source.blob, resolved.blob_size(), resolved.toc(), std::move(sources));
}

task<result<layer_ptr>> layer_manager::enter(
  std::uint32_t number, digest blob, std::uint64_t blob_size, std::shared_ptr<const index> toc,
  std::vector<blob_address> sources) {
    auto& fetched = fetched_[number];
    if (!fetched) {
        fetched = std::make_shared<counter>(shards_.size());
    }
    auto made = std::make_shared<const layer>(
      number, blob, blob_size, std::move(toc), std::move(sources), fetched);
    auto entered = co_await layers_.insert(made);
    if (!entered) {
        co_return entered.error();
    }
    co_return made;
}

task<void> layer_manager::close(std::uint32_t number) {
    fetched_.erase(number);
    followed_up_.erase(number);
    worth_waiting_.erase(number);
    replaying_.erase(number);
    replay_over_.notify_all();
    filler_.forget(number);
    errors_.forget(number);
    if (learned_) {
        co_await learned_->end(number);
    }
    auto gone = co_await layers_.remove(number);
    auto forget = [this, number]() -> result<void> { return forget_(std::to_string(number)); };
    auto forgotten = co_await shards_.io().run(lane::background, std::move(forget));
    for (const auto* failed : {&gone, &forgotten}) {
        if (!*failed) {
            log::warn(
              "cannot unmount a layer", {{"layer", number}, {"error", failed->error().context()}});
        }
    }
    std::vector<digest> in_use;
    for (const auto& [n, l] : layers_.here()) {
        in_use.push_back(l->toc().toc_digest());
    }
    auto trim = [this, in_use]() -> result<std::uint64_t> {
        return indexes_.trim(options_.index_bytes, [&in_use](const digest& toc) {
            return std::ranges::find(in_use, toc) != in_use.end();
        });
    };
    co_await shards_.io().run(lane::background, std::move(trim));
}

task<result<void>> layer_manager::restore() {
    auto read = [](snapshot_store& s) { return s.layers_in_use(); };
    auto records = co_await store_.run(std::move(read));
    if (!records) {
        co_return records.error();
    }
    for (const auto& record : *records) {
        auto done = co_await restore_one(record);
        if (!done) {
            log::error(
              "layer is not available",
              {{"layer", record.blob.to_string()}, {"error", done.error().context()}});
        }
    }
    log::info("layers restored", {{"layers", layers_.here().size()}, {"of", records->size()}});
    co_return result<void>();
}

task<result<void>> layer_manager::restore_one(layer_record record) {
    auto read = [number = record.number](snapshot_store& s) { return s.sources_of(number); };
    auto references = co_await store_.run(std::move(read));
    if (!references) {
        co_return references.error();
    }
    std::vector<blob_address> sources;
    for (const auto& reference : *references) {
        if (const auto image = image_reference::parse(reference)) {
            sources.push_back(image->blob(record.blob));
        }
    }
    auto stored = co_await known(record.toc);
    if (stored) {
        co_return co_await enter_again(record, stored->toc(), std::move(sources));
    }
    if (sources.empty()) {
        co_return stored.error();
    }
    tasks_.spawn("resolve again", lane::demand, [this, record, sources](std::stop_token) {
        return resolve_again(record, sources);
    });
    co_return stored.error();
}

// And its download goes on where it was.
task<result<void>> layer_manager::enter_again(
  layer_record record, std::shared_ptr<const index> toc, std::vector<blob_address> sources) {
    auto entered = co_await enter(
      record.number, record.blob, record.blob_size, std::move(toc), std::move(sources));
    if (!entered) {
        co_return entered.error();
    }
    if (!(*entered)->sources().empty()) {
        filler_.fill(*entered, 0, options_.background_fetch);
    }
    co_return result<void>();
}

task<void> layer_manager::resolve_again(layer_record record, std::vector<blob_address> sources) {
    auto resolved = co_await resolve(
      sources.front(), record.toc, lane::demand, deadline::after(resolve_patience));
    if (resolved) {
        co_await enter_again(record, resolved->toc(), std::move(sources));
        co_return;
    }
    log::error(
      "layer cannot be mounted again",
      {{"layer", record.blob.to_string()}, {"error", resolved.error().context()}});
}

// After a mount: connections are opened ahead, what will be read is fetched, and
// then the rest.
void layer_manager::follow_up(layer_ptr l, const layer_source& source) {
    if (!followed_up_.insert(l->number()).second) {
        return;
    }
    tasks_.spawn("warm", lane::prefetch, [this, l](std::stop_token) { return warm(l); });
    const auto& toc = l->toc();
    std::uint64_t ahead = 0;
    if (options_.prefetch && !toc.no_prefetch()) {
        ahead =
          toc.prefetch_end().value_or(source.prefetch_bytes.value_or(options_.prefetch_bytes));
    }
    const auto async = options_.prefetch_async_bytes;
    if (ahead > 0 && (async == 0 || std::min(ahead, toc.payload_size()) <= async)) {
        worth_waiting_.insert(l->number());
    }
    if (!learned_) {
        filler_.fill(l, ahead, options_.background_fetch);
        return;
    }
    replaying_.insert(l->number());
    tasks_.spawn(
      "fetch ahead", lane::prefetch, [this, l, image = source.image, ahead](std::stop_token stop) {
          return fetch_ahead(l, image, ahead, stop);
      });
}

// What earlier starts have read, then what the landmark or the client says; and, when the
// start that they know is over, the rest.
task<void> layer_manager::fetch_ahead(
  layer_ptr l, std::string image, std::uint64_t prefetch_end, std::stop_token stop) {
    const auto here = [this, &l] { return followed_up_.contains(l->number()); }; // it may go
    co_await learned_->begin(l, image);
    if (here()) {
        filler_.fill(l, prefetch_end, false);
    }
    replaying_.erase(l->number());
    replay_over_.notify_all();
    co_await learned_->calm(std::move(image), stop);
    if (options_.background_fetch && here() && !stop.stop_requested()) {
        filler_.fill(l, 0, true);
    }
}

task<bool> layer_manager::prefetched(std::uint32_t number, deadline until, std::stop_token stop) {
    while (replaying_.contains(number)) { // the filler has not been told of it yet
        const auto left = until.left();
        if (left == left.zero() || stop.stop_requested()) {
            co_return false;
        }
        co_await replay_over_.wait_for(left, stop);
    }
    co_return co_await filler_.prefetched(number, until, stop);
}

task<void> layer_manager::await_prefetch(std::vector<std::uint32_t> numbers, std::stop_token stop) {
    std::erase_if(numbers, [this](auto n) { return !worth_waiting_.contains(n); });
    if (numbers.empty() || options_.prefetch_wait == options_.prefetch_wait.zero()) {
        co_return;
    }
    const auto began = deadline::clock::now();
    const auto until = deadline::after(options_.prefetch_wait);
    std::size_t late = 0;
    for (const auto n : numbers) { // all come side by side
        const bool here = co_await prefetched(n, until, stop);
        late += here ? 0 : 1;
    }
    counted_.prefetch_wait.record(deadline::clock::now() - began);
    if (late > 0) {
        log::info(
          "a container does not wait any longer for its layers to be prefetched",
          {{"layers", late}, {"of", numbers.size()}});
    }
}

task<void> layer_manager::warm(layer_ptr l) {
    for (unsigned id = 0; id < shards_.size(); ++id) {
        auto& registry = *services_[id]->registry;
        auto work = [&registry, blob = l->sources().front()] { return warm_on(registry, blob); };
        co_await call_on(shards_.at(id), lane::prefetch, std::move(work));
    }
}

} // namespace firstlight

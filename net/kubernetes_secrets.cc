#include "net/kubernetes_secrets.h"

#include "actors/log.h"
#include "net/docker_key.h"
#include "net/http_stream.h"
#include "net/tls_context.h"

#include <boost/asio/this_coro.hpp>

#include <span>
#include <utility>

namespace firstlight {

namespace {

using steady = std::chrono::steady_clock;

constexpr std::string_view what_we_list =
  "/api/v1/secrets?fieldSelector=type%3Dkubernetes.io%2Fdockerconfigjson";
constexpr std::size_t largest_page = 64 << 20; // bytes
constexpr std::size_t largest_event = 8 << 20; // a secret has 1 MiB at most
constexpr std::size_t piece = 16 << 10;
// How much longer than it was asked to a server may take to end a watch.
constexpr std::chrono::seconds grace{30};
// A watch that ends sooner did not get anywhere.
constexpr std::chrono::seconds brief{1};

registry_config retries(const kubernetes_secrets::options& o) {
    registry_config c;
    c.min_wait = o.first_pause;
    c.max_wait = o.longest_pause;
    return c;
}

fault refusal(const http_head& head) {
    const auto status = head.status();
    const auto text = "the API server answered " + std::to_string(status);
    if (status == 401 || status == 403) {
        return {
          errc::unauthorized, text + ": the right to list and watch secrets in all namespaces "
                                     "is needed"};
    }
    return {errc::unavailable, text};
}

} // namespace

// One connection to the API server, for a list and the watch after it.
class kubernetes_secrets::session {
public:
    session(
      asio::any_io_executor home, host_resolver& names, kubernetes_access access,
      shared_tls_context trust, const options& o, std::stop_token stop)
      : home_(std::move(home))
      , names_(names)
      , access_(std::move(access))
      , trust_(std::move(trust))
      , options_(o)
      , stop_(std::move(stop)) {}

    task<result<http_head>> get(std::string query);
    task<result<std::size_t>> read(std::span<std::byte> into, deadline d);
    task<result<std::string>> text(std::size_t most);

private:
    task<result<void>> connect();
    deadline patience() const noexcept { return deadline::after(options_.silence); }

    const asio::any_io_executor home_;
    host_resolver& names_;
    const kubernetes_access access_;
    const shared_tls_context trust_;
    const options& options_;
    const std::stop_token stop_;
    std::unique_ptr<http_stream> stream_;
};

task<result<void>> kubernetes_secrets::session::connect() {
    const auto d = patience();
    auto addresses = co_await names_.resolve(access_.server.name(), d, stop_);
    if (!addresses) {
        co_return addresses.error();
    }
    auto up =
      co_await http_stream::connect(home_, access_.server, std::move(*addresses), trust_, d, stop_);
    if (!up) {
        co_return up.error();
    }
    stream_ = std::move(*up);
    co_return result<void>();
}

task<result<http_head>> kubernetes_secrets::session::get(std::string query) {
    if (!stream_ || !stream_->reusable()) {
        auto up = co_await connect();
        if (!up) {
            co_return up.error().in(access_.server.origin());
        }
    }
    auto base = access_.server.target();
    while (base.ends_with('/')) {
        base.pop_back();
    }
    http_request request(base + query);
    request.add("Host", access_.server.authority());
    request.add("User-Agent", "firstlight");
    request.add("Accept", "application/json");
    request.add("Accept-Encoding", "identity");
    if (!access_.token.empty()) {
        request.add("Authorization", "Bearer " + access_.token);
    }
    std::stop_callback give_up(stop_, [this] { stream_->abort(); });
    auto head = co_await stream_->exchange(std::move(request), patience());
    if (!head) {
        co_return head.error().in(access_.server.origin());
    }
    co_return head;
}

task<result<std::size_t>> kubernetes_secrets::session::read(std::span<std::byte> into, deadline d) {
    std::stop_callback give_up(stop_, [this] { stream_->abort(); });
    auto n = co_await stream_->read_some(into, d);
    if (!n) {
        co_return n.error().in(access_.server.origin());
    }
    co_return n;
}

task<result<std::string>> kubernetes_secrets::session::text(std::size_t most) {
    std::string all;
    std::string some(piece, '\0');
    while (all.size() <= most) {
        const auto n = co_await read(std::as_writable_bytes(std::span(some)), patience());
        if (!n) {
            co_return n.error();
        }
        if (*n == 0) {
            co_return all;
        }
        all.append(some, 0, *n);
    }
    co_return fault(errc::corrupt, "an answer of more than " + std::to_string(most) + " bytes");
}

kubernetes_secrets::kubernetes_secrets(shard& home, worker_pool& pool, kubeconfig_places places)
  : kubernetes_secrets(home, pool, std::move(places), options()) {
}

kubernetes_secrets::kubernetes_secrets(
  shard& home, worker_pool& pool, kubeconfig_places places, options o)
  : pool_(pool)
  , places_(std::move(places))
  , options_(o)
  , retrying_(retries(o))
  , random_(static_cast<unsigned>(steady::now().time_since_epoch().count()))
  , resolver_(home)
  , tasks_(home) {
}

kubernetes_secrets::~kubernetes_secrets() = default;

void kubernetes_secrets::start() {
    auto work = [this](std::stop_token stop) { return follow(std::move(stop)); };
    tasks_.spawn("Kubernetes secrets", lane::background, std::move(work));
}

task<void> kubernetes_secrets::stop() {
    resolver_.abort();
    settled_.notify_all();
    co_await tasks_.stop();
    co_await resolver_.stop();
}

task<result<std::optional<credentials>>> kubernetes_secrets::find(credential_query what) {
    const auto until = deadline::after(options_.first_wait);
    while (!listed_ && !last_ && !until.expired() && !tasks_.token().stop_requested()) {
        co_await settled_.wait_for(until.left(), tasks_.token());
    }
    if (!listed_) {
        const auto why = last_ ? last_->context() : "the API server has not answered yet";
        co_return fault(errc::unavailable, why);
    }
    std::optional<credentials> best;
    std::size_t most = 0;
    for (const auto& [name, secret] : known_) {
        for (const auto& each : secret.held->auths()) {
            const bool any = each.held && *each.held;
            const auto rank = any ? docker_key_rank(each.key, what) : 0;
            if (rank > most) {
                most = rank;
                best = **each.held;
            }
        }
    }
    co_return best;
}

task<void> kubernetes_secrets::follow(std::stop_token stop) {
    backoff tries(retrying_, random_);
    while (!stop.stop_requested()) {
        const auto began = steady::now();
        const auto outcome = co_await round(stop);
        if (stop.stop_requested()) {
            break;
        }
        settle(outcome);
        if (outcome && steady::now() - began >= brief) {
            tries.reset();
            continue;
        }
        const bool absent = !outcome && outcome.error().code() == errc::not_found;
        auto pause = options_.look_again;
        if (!absent) {
            pause = tries.next(std::chrono::milliseconds(0));
        }
        (void)co_await sleep_for(pause, stop);
    }
}

void kubernetes_secrets::settle(const result<void>& outcome) {
    if (!outcome) {
        const bool news = !last_ || last_->context() != outcome.error().context();
        last_ = outcome.error();
        if (news) {
            log::warn("Kubernetes secrets are not watched", {{"error", last_->context()}});
        }
    }
    settled_.notify_all();
}

// All there is to know once, and the changes for a while.
task<result<void>> kubernetes_secrets::round(std::stop_token stop) {
    using reached = std::pair<kubernetes_access, shared_tls_context>;
    auto load = [places = places_]() -> result<reached> {
        auto access = load_kubernetes_access(places);
        if (!access) {
            return access.error();
        }
        auto trust = make_tls_context(access->trust);
        return reached(std::move(*access), std::move(trust));
    };
    auto to = co_await pool_.run(lane::background, std::move(load));
    if (!to) {
        co_return to.error();
    }
    const auto home = co_await asio::this_coro::executor;
    session with(home, resolver_, std::move(to->first), std::move(to->second), options_, stop);
    if (version_.empty()) {
        auto listed = co_await list(with);
        if (!listed) {
            co_return listed;
        }
    }
    co_return co_await watch(with);
}

task<result<void>> kubernetes_secrets::list(session& with) {
    secrets all;
    std::size_t bytes = 0;
    std::string next;
    std::string version;
    do {
        auto query = std::string(what_we_list) + "&limit=" + std::to_string(options_.page);
        if (!next.empty()) {
            query += "&continue=" + percent_encoded(next);
        }
        const auto head = co_await with.get(std::move(query));
        if (!head) {
            co_return head.error();
        }
        if (head->status() != 200) {
            co_return refusal(*head);
        }
        auto text = co_await with.text(largest_page);
        if (!text) {
            co_return text.error();
        }
        auto parse = [text = std::move(*text)] { return parse_secret_page(text); };
        auto page = co_await pool_.run(lane::background, std::move(parse));
        if (!page) {
            co_return page.error();
        }
        for (auto& each : page->secrets) {
            put(std::move(each), all, bytes);
        }
        version = std::move(page->version);
        next = std::move(page->next);
    } while (!next.empty());
    known_ = std::move(all);
    bytes_ = bytes;
    version_ = std::move(version);
    listed_ = true;
    settled_.notify_all();
    log::info("Kubernetes secrets listed", {{"secrets", known_.size()}});
    co_return result<void>();
}

void kubernetes_secrets::put(kubernetes_secret s, secrets& into, std::size_t& bytes) {
    if (const auto old = into.find(s.name); old != into.end()) {
        bytes -= old->second.bytes;
        into.erase(old);
    }
    if (!s.held) {
        return; // deleted, or of no use
    }
    if (into.size() >= options_.most_secrets || bytes + s.bytes > options_.most_bytes) {
        if (!full_) {
            log::warn(
              "more Kubernetes secrets than are kept", {{"kept", into.size()}, {"bytes", bytes}});
        }
        full_ = true;
        return;
    }
    bytes += s.bytes;
    auto name = s.name;
    into.emplace(std::move(name), std::move(s));
}

task<result<void>> kubernetes_secrets::watch(session& with) {
    // Not all nodes at the same time.
    std::uniform_int_distribution<std::int64_t> spread(0, options_.watch.count() / 4);
    const auto lasting = options_.watch + std::chrono::seconds(spread(random_));
    auto query = std::string(what_we_list) + "&watch=true&allowWatchBookmarks=true" +
                 "&timeoutSeconds=" + std::to_string(lasting.count()) +
                 "&resourceVersion=" + percent_encoded(version_);
    const auto head = co_await with.get(std::move(query));
    if (!head) {
        co_return head.error();
    }
    if (head->status() == 410) {
        version_.clear();
        co_return result<void>();
    }
    if (head->status() != 200) {
        co_return refusal(*head);
    }
    if (last_) {
        last_.reset();
        log::info("Kubernetes secrets are watched again");
    }
    const auto end = co_await read_events(with, deadline::after(lasting + grace));
    if (!end) {
        co_return end.error();
    }
    if (*end == watch_end::too_old) {
        version_.clear();
    }
    co_return result<void>();
}

task<result<kubernetes_secrets::watch_end>>
kubernetes_secrets::read_events(session& with, deadline d) {
    std::string pending; // the beginning of a line
    std::string some(piece, '\0');
    while (true) {
        const auto n = co_await with.read(std::as_writable_bytes(std::span(some)), d);
        if (!n) {
            co_return n.error();
        }
        if (*n == 0) {
            co_return watch_end::over;
        }
        std::string_view arrived(some.data(), *n);
        for (auto end = arrived.find('\n'); end != arrived.npos; end = arrived.find('\n')) {
            pending += arrived.substr(0, end);
            arrived.remove_prefix(end + 1);
            const auto taken = take(pending);
            pending.clear();
            if (!taken || *taken == watch_end::too_old) {
                co_return taken;
            }
        }
        pending += arrived;
        if (pending.size() > largest_event) {
            co_return fault(errc::corrupt, "an event of a watch that is too long");
        }
    }
}

// `over`: go on.
result<kubernetes_secrets::watch_end> kubernetes_secrets::take(std::string_view line) {
    if (line.find_first_not_of(" \t\r") == line.npos) {
        return watch_end::over;
    }
    auto event = parse_secret_event(line);
    if (!event) {
        return event.error();
    }
    switch (event->what) {
    case secret_event::kind::expired:
        return watch_end::too_old;
    case secret_event::kind::failed:
        return fault(errc::unavailable, "the API server ended a watch with an error");
    case secret_event::kind::deleted:
        event->secret.held.reset();
        break;
    case secret_event::kind::stored:
    case secret_event::kind::bookmark:
        break;
    }
    if (event->what != secret_event::kind::bookmark) {
        put(std::move(event->secret), known_, bytes_);
    }
    version_ = std::move(event->version);
    return watch_end::over;
}

} // namespace firstlight

#include "test/imposter/kubernetes_imposter.h"

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>

#include <openssl/evp.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <thread>

namespace firstlight::test {

namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

std::string base64(const std::string& plain) {
    std::string out((plain.size() + 2) / 3 * 4 + 1, '\0');
    const auto n = EVP_EncodeBlock(
      reinterpret_cast<unsigned char*>(out.data()),
      reinterpret_cast<const unsigned char*>(plain.data()), static_cast<int>(plain.size()));
    out.resize(static_cast<std::size_t>(n));
    return out;
}

std::string parameter(const std::string& target, const std::string& name) {
    const auto at = target.find(name + "=");
    if (at == target.npos) {
        return {};
    }
    const auto begin = at + name.size() + 1;
    return target.substr(begin, target.find('&', begin) - begin);
}

std::string object_of(const std::string& name, unsigned long version, const std::string& config) {
    return R"({"kind":"Secret","metadata":{"namespace":"team","name":")" + name +
           R"(","resourceVersion":")" + std::to_string(version) +
           R"("},"type":"kubernetes.io/dockerconfigjson","data":{".dockerconfigjson":")" +
           base64(config) + "\"}}";
}

std::string event_of(const std::string& type, const std::string& object) {
    return R"({"type":")" + type + R"(","object":)" + object + "}\n";
}

std::string response(unsigned status, const std::string& body) {
    return "HTTP/1.1 " + std::to_string(status) +
           " X\r\nContent-Type: application/json\r\nContent-Length: " +
           std::to_string(body.size()) + "\r\n\r\n" + body;
}

std::string chunk(const std::string& data) {
    char size[20];
    std::snprintf(size, sizeof size, "%zx\r\n", data.size());
    return size + data + "\r\n";
}

// While it is being answered it has nothing to say.
template <class Stream>
bool closed_by_client(Stream& stream) {
    char byte = 0;
    const int fd = stream.lowest_layer().native_handle();
    return ::recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0;
}

constexpr auto gone = R"({"kind":"Status","code":410,"reason":"Expired"})";

} // namespace

class kubernetes_imposter::impl {
public:
    explicit impl(kubernetes_options o);
    ~impl();

    void happen(const std::string& type, const std::string& name, const std::string& config);
    void change(const std::function<void()>& edit) {
        const std::lock_guard hold(mutex);
        edit();
        changed.notify_all();
    }

    struct event {
        unsigned long version;
        std::string line;
    };
    mutable std::mutex mutex; // all below
    std::condition_variable changed;
    kubernetes_options options;
    std::map<std::string, std::pair<unsigned long, std::string>> secrets; // version, config
    std::vector<event> history;
    unsigned long version = 100;
    unsigned long oldest = 0; // what a watch may go on from
    bool gone_by_event = false;
    unsigned ends = 0; // of watches, so far
    unsigned fail_status = 0, fail_times = 0;
    std::vector<std::string> requests;
    std::size_t watching = 0;
    std::set<int> open;
    bool over = false;
    bool tls = false;
    std::uint16_t port = 0;

private:
    void accept_all();
    template <class Stream>
    void serve(Stream& stream);
    template <class Stream>
    bool answer(Stream& stream, const std::string& head);
    template <class Stream>
    bool watch(Stream& stream, const std::string& target);
    std::optional<std::string> refusal(const std::string& head);
    std::string list(const std::string& target);

    asio::io_context io_;
    asio::ssl::context context_{asio::ssl::context::tls_server};
    tcp::acceptor acceptor_{io_, tcp::endpoint(asio::ip::address_v4::loopback(), 0)};
    std::list<std::thread> threads_;
    std::thread accepting_;
};

kubernetes_imposter::impl::impl(kubernetes_options o)
  : options(std::move(o)) {
    std::signal(SIGPIPE, SIG_IGN); // SSL_write() has no MSG_NOSIGNAL
    tls = !options.certificate.empty();
    if (tls) {
        context_.use_certificate_chain(asio::buffer(options.certificate));
        context_.use_private_key(asio::buffer(options.private_key), asio::ssl::context::pem);
    }
    if (!options.client_authority.empty()) {
        context_.add_certificate_authority(asio::buffer(options.client_authority));
        context_.set_verify_mode(asio::ssl::verify_peer | asio::ssl::verify_fail_if_no_peer_cert);
    }
    port = acceptor_.local_endpoint().port();
    accepting_ = std::thread([this] { accept_all(); });
}

kubernetes_imposter::impl::~impl() {
    change([this] {
        over = true;
        for (const int fd : open) {
            ::shutdown(fd, SHUT_RDWR);
        }
    });
    ::shutdown(acceptor_.native_handle(), SHUT_RDWR);
    accepting_.join();
    for (auto& each : threads_) {
        each.join();
    }
}

void kubernetes_imposter::impl::accept_all() {
    while (true) {
        error_code failed;
        auto socket = std::make_shared<tcp::socket>(io_);
        acceptor_.accept(*socket, failed);
        const std::lock_guard hold(mutex);
        if (failed || over) {
            return;
        }
        const int fd = socket->native_handle();
        open.insert(fd);
        threads_.emplace_back([this, socket, fd] {
            if (tls) {
                asio::ssl::stream<tcp::socket&> stream(*socket, context_);
                error_code refused;
                stream.handshake(asio::ssl::stream_base::server, refused);
                if (!refused) {
                    serve(stream);
                }
            } else {
                serve(*socket);
            }
            const std::lock_guard done(mutex); // before another gets its number
            open.erase(fd);
            error_code ignored;
            socket->close(ignored);
        });
    }
}

template <class Stream>
void kubernetes_imposter::impl::serve(Stream& stream) {
    std::string pending;
    while (true) {
        error_code failed;
        const auto n = asio::read_until(stream, asio::dynamic_buffer(pending), "\r\n\r\n", failed);
        if (failed || !answer(stream, pending.substr(0, n))) {
            return;
        }
        pending.erase(0, n);
    }
}

// Holds the mutex.
std::optional<std::string> kubernetes_imposter::impl::refusal(const std::string& head) {
    if (fail_times > 0) {
        --fail_times;
        return response(fail_status, "{}");
    }
    const auto proof = "Authorization: Bearer " + options.token + "\r\n";
    if (!options.token.empty() && head.find(proof) == head.npos) {
        return response(401, "{}");
    }
    return std::nullopt;
}

template <class Stream>
bool kubernetes_imposter::impl::answer(Stream& stream, const std::string& head) {
    const auto begin = head.find(' ') + 1;
    const auto target = head.substr(begin, head.find(' ', begin) - begin);
    std::optional<std::string> out;
    {
        const std::lock_guard hold(mutex);
        requests.push_back(target);
        out = refusal(head);
        if (!out && target.find("watch=true") == target.npos) {
            out = list(target);
        }
    }
    if (!out) {
        return watch(stream, target);
    }
    error_code failed;
    asio::write(stream, asio::buffer(*out), failed);
    return !failed;
}

// `continue` is the name of the last secret that has been listed.
std::string kubernetes_imposter::impl::list(const std::string& target) {
    const auto limit = std::stoul(parameter(target, "limit"));
    auto next = secrets.upper_bound(parameter(target, "continue"));
    std::string items, last;
    for (unsigned long n = 0; n < limit && next != secrets.end(); ++n, ++next) {
        items += (items.empty() ? "" : ",") +
                 object_of(next->first, next->second.first, next->second.second);
        last = next->first;
    }
    const auto more = next == secrets.end() ? "" : R"(,"continue":")" + last + "\"";
    return response(
      200, R"({"kind":"SecretList","metadata":{"resourceVersion":")" + std::to_string(version) +
             "\"" + more + R"(},"items":[)" + items + "]}");
}

template <class Stream>
bool kubernetes_imposter::impl::watch(Stream& stream, const std::string& target) {
    auto from = std::stoul(parameter(target, "resourceVersion"));
    error_code failed;
    std::unique_lock hold(mutex);
    if (from < oldest && !gone_by_event) {
        const auto out = response(410, gone);
        hold.unlock();
        asio::write(stream, asio::buffer(out), failed);
        return !failed;
    }
    std::string out = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    const bool too_old = from < oldest;
    if (too_old) {
        out += chunk(event_of("ERROR", gone));
    }
    const auto until = ends + 1;
    while (!failed && !over) {
        const bool last = too_old || ends >= until;
        for (const auto& each : history) {
            if (each.version > from && !too_old) {
                // In two pieces: a line need not come at once.
                const auto half = each.line.size() / 2;
                out += chunk(each.line.substr(0, half)) + chunk(each.line.substr(half));
                from = each.version;
            }
        }
        if (last) {
            out += "0\r\n\r\n";
        }
        hold.unlock();
        asio::write(stream, asio::buffer(out), failed);
        hold.lock();
        out.clear();
        if (last || failed) {
            return !failed;
        }
        ++watching;
        while (!over && ends < until && (history.empty() || history.back().version <= from) &&
               !failed) {
            changed.wait_for(hold, std::chrono::milliseconds(20));
            failed = closed_by_client(stream) ? asio::error::eof : error_code();
        }
        --watching;
    }
    return false;
}

void kubernetes_imposter::impl::happen(
  const std::string& type, const std::string& name, const std::string& config) {
    change([&] {
        ++version;
        auto kind = type;
        if (type == "DELETED") {
            secrets.erase(name);
        } else if (type == "ADDED") {
            kind = secrets.contains(name) ? "MODIFIED" : "ADDED";
            secrets[name] = {version, config};
        }
        const auto object = type == "BOOKMARK"
                              ? R"({"kind":"Secret","metadata":{"resourceVersion":")" +
                                  std::to_string(version) + "\"}}"
                              : object_of(name, version, config);
        history.push_back({version, event_of(kind, object)});
    });
}

kubernetes_imposter::kubernetes_imposter(kubernetes_options o)
  : impl_(std::make_unique<impl>(std::move(o))) {
}

kubernetes_imposter::~kubernetes_imposter() = default;

std::string kubernetes_imposter::url() const {
    return (impl_->tls ? "https://127.0.0.1:" : "http://127.0.0.1:") + std::to_string(impl_->port);
}

void kubernetes_imposter::put(const std::string& name, const std::string& config) {
    impl_->happen("ADDED", name, config);
}

void kubernetes_imposter::remove(const std::string& name) {
    impl_->happen("DELETED", name, "{}");
}

void kubernetes_imposter::bookmark() {
    impl_->happen("BOOKMARK", "", "");
}

void kubernetes_imposter::end_watches() {
    impl_->change([this] { ++impl_->ends; });
}

void kubernetes_imposter::drop_connections() {
    impl_->change([this] {
        for (const int fd : impl_->open) {
            ::shutdown(fd, SHUT_RDWR);
        }
        ++impl_->ends; // whoever waits finds out
    });
}

void kubernetes_imposter::forget_history(bool by_event) {
    impl_->change([this, by_event] {
        impl_->oldest = ++impl_->version;
        impl_->history.clear();
        impl_->gone_by_event = by_event;
    });
}

void kubernetes_imposter::set_token(std::string token) {
    impl_->change([&] { impl_->options.token = std::move(token); });
}

void kubernetes_imposter::fail(unsigned status, unsigned times) {
    impl_->change([=, this] {
        impl_->fail_status = status;
        impl_->fail_times = times;
    });
}

std::vector<std::string> kubernetes_imposter::requests() const {
    const std::lock_guard hold(impl_->mutex);
    return impl_->requests;
}

std::size_t kubernetes_imposter::count(const std::string& part) const {
    const auto all = requests();
    return static_cast<std::size_t>(std::count_if(
      all.begin(), all.end(), [&](const auto& each) { return each.find(part) != each.npos; }));
}

std::size_t kubernetes_imposter::watching() const {
    const std::lock_guard hold(impl_->mutex);
    return impl_->watching;
}

} // namespace firstlight::test

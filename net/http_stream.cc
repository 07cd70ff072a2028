#include "net/http_stream.h"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl/ssl_stream.hpp>

#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <tuple>

namespace firstlight {

namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

constexpr std::uint32_t header_limit = 64 << 10;
// One read usually brings the head and a small body together.
constexpr std::size_t first_read = 16 << 10;
constexpr std::chrono::milliseconds brief{300};
// How long sent bytes may go unacknowledged: finds a pooled connection whose
// path has silently gone long before the request times out.
constexpr unsigned unacknowledged_ms = 10'000;
constexpr int informational_limit = 8;

using reader = http::response_parser<http::buffer_body>;
using sender = http::request<http::string_body>;

// Transport operations, the same for both kinds of stream.
class channel {
public:
    virtual ~channel() = default;
    virtual beast::tcp_stream& tcp() noexcept = 0;
    virtual bool secure() const noexcept = 0;
    virtual task<error_code> handshake() = 0;
    virtual task<error_code> write(sender& request) = 0;
    virtual task<error_code> read_head(beast::flat_buffer& buffer, reader& parser) = 0;
    virtual task<error_code> read_body(beast::flat_buffer& buffer, reader& parser) = 0;
    virtual task<std::tuple<error_code, std::size_t>> read(std::span<std::byte> into) = 0;
};

template <class Stream>
class channel_over : public channel {
public:
    template <class... Args>
    explicit channel_over(Args&&... args)
      : stream_(std::forward<Args>(args)...) {}

    beast::tcp_stream& tcp() noexcept override { return beast::get_lowest_layer(stream_); }
    task<error_code> write(sender& request) override {
        const auto [failed, n] = co_await http::async_write(stream_, request, quietly);
        co_return failed;
    }
    task<error_code> read_head(beast::flat_buffer& buffer, reader& parser) override {
        const auto [failed, n] = co_await http::async_read_header(stream_, buffer, parser, quietly);
        co_return failed;
    }
    task<error_code> read_body(beast::flat_buffer& buffer, reader& parser) override {
        const auto [failed, n] = co_await http::async_read_some(stream_, buffer, parser, quietly);
        co_return failed;
    }
    task<std::tuple<error_code, std::size_t>> read(std::span<std::byte> into) override {
        const auto where = asio::buffer(into.data(), into.size());
        co_return co_await stream_.async_read_some(where, quietly);
    }

protected:
    Stream stream_;
};

class plain_channel final : public channel_over<beast::tcp_stream> {
public:
    using channel_over::channel_over;
    bool secure() const noexcept override { return false; }
    task<error_code> handshake() override { co_return error_code(); }
};

class tls_channel final : public channel_over<beast::ssl_stream<beast::tcp_stream>> {
public:
    using channel_over::channel_over;
    bool secure() const noexcept override { return true; }
    task<error_code> handshake() override {
        const auto [failed] =
          co_await stream_.async_handshake(asio::ssl::stream_base::client, quietly);
        co_return failed;
    }
    // `name` is an address or a host name; only the latter has a place in SNI
    // (RFC 6066, section 3).
    void expect(const std::string& name) {
        error_code not_an_address;
        asio::ip::make_address(name, not_an_address);
        if (not_an_address) {
            SSL_set_tlsext_host_name(stream_.native_handle(), name.c_str());
        }
        if (SSL_get_verify_mode(stream_.native_handle()) != SSL_VERIFY_NONE) {
            stream_.set_verify_callback(asio::ssl::host_name_verification(name));
        }
    }
};

fault to_fault(error_code failed, std::string_view doing) {
    auto code = errc::unavailable;
    auto text = failed.message();
    if (failed == beast::error::timeout) {
        code = errc::timed_out;
        text = "no progress in time";
    } else if (failed == asio::error::operation_aborted) {
        code = errc::stopping;
    } else if (failed == http::error::end_of_stream || failed == http::error::partial_message) {
        text = "connection closed by the server";
    } else if (failed.category() == http::make_error_code(http::error::end_of_stream).category()) {
        code = errc::corrupt;
        text = "malformed response: " + text;
    }
    return fault(code, std::move(text)).in(doing);
}

fault handshake_fault(error_code failed) {
    auto code = to_fault(failed, "").code();
    std::string text = failed.message();
    if (text.find("certificate verify failed") != text.npos) {
        code = errc::failed_precondition;
        text += "; set the registry's ca_file to the authority that signed its certificate";
    }
    return fault(code, std::move(text)).in("TLS handshake");
}

void tune(tcp::socket& socket) {
    error_code ignored; // each only helps
    socket.set_option(tcp::no_delay(true), ignored);
    socket.set_option(asio::socket_base::keep_alive(true), ignored);
    ::setsockopt(
      socket.native_handle(), IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged_ms,
      sizeof unacknowledged_ms);
}

// IPv6 and IPv4 in turn, so that a host with one dead family is found quickly.
std::vector<asio::ip::address> interleaved(std::vector<asio::ip::address> all) {
    std::vector<asio::ip::address> v6, v4, mixed;
    for (auto& each : all) {
        (each.is_v6() ? v6 : v4).push_back(each);
    }
    for (std::size_t i = 0; i < std::max(v6.size(), v4.size()); ++i) {
        if (i < v6.size()) {
            mixed.push_back(v6[i]);
        }
        if (i < v4.size()) {
            mixed.push_back(v4[i]);
        }
    }
    return mixed;
}

task<error_code> reach(
  beast::tcp_stream& stream, std::vector<asio::ip::address> addresses, std::uint16_t port,
  deadline d) {
    const auto ordered = interleaved(std::move(addresses));
    error_code last = asio::error::host_not_found;
    for (const bool patient : {false, true}) {
        if (!patient && ordered.size() < 2) {
            continue;
        }
        for (const auto& address : ordered) {
            if (d.expired()) {
                co_return beast::error::timeout;
            }
            const tcp::endpoint to(address, port);
            error_code ignored;
            stream.socket().close(ignored); // what failed before may be of another family
            stream.expires_at(patient ? d.at() : d.within(brief).at());
            const auto [failed] = co_await stream.async_connect(to, quietly);
            last = failed;
            if (!failed || failed == asio::error::operation_aborted) {
                co_return last;
            }
        }
    }
    co_return last;
}

sender to_beast(const http_request& from) {
    const auto verb = from.verb() == http_request::method::get ? http::verb::get : http::verb::post;
    sender request(verb, from.target(), 11);
    for (const auto& [name, value] : from.fields()) {
        request.insert(name, value);
    }
    if (!from.body().empty()) {
        request.body() = from.body();
        request.prepare_payload();
    }
    return request;
}

http_head to_head(const reader& parser) {
    http_fields fields;
    for (const auto& field : parser.get()) {
        const auto name = field.name_string();
        const auto value = field.value();
        fields.emplace_back(
          std::string(name.data(), name.size()), std::string(value.data(), value.size()));
    }
    std::optional<std::uint64_t> length;
    if (const auto said = parser.content_length(); said) {
        length = *said;
    }
    return {parser.get().result_int(), std::move(fields), length};
}

} // namespace

class tls_context {
public:
    tls_context(const std::string& ca_file, bool skip_verify) {
        if (skip_verify) {
            context_.set_verify_mode(asio::ssl::verify_none);
            return;
        }
        context_.set_verify_mode(asio::ssl::verify_peer);
        if (ca_file.empty()) {
            trust_system();
            return;
        }
        error_code failed;
        context_.load_verify_file(ca_file, failed);
        if (failed) {
            throw std::runtime_error(
              "cannot load certificate authorities from " + ca_file + ": " + failed.message());
        }
    }
    explicit tls_context(const tls_material& from)
      : tls_context(std::string(), from.skip_verify) {
        const auto use = [](std::string_view what, error_code failed) {
            if (failed) {
                throw std::runtime_error("cannot use the " + std::string(what));
            }
        };
        error_code failed;
        if (!from.authorities.empty() && !from.skip_verify) {
            // In place of the system's.
            ::SSL_CTX_set_cert_store(context_.native_handle(), ::X509_STORE_new());
            context_.add_certificate_authority(asio::buffer(from.authorities), failed);
            use("certificate authorities", failed);
        }
        if (!from.certificate.empty()) {
            context_.use_certificate_chain(asio::buffer(from.certificate), failed);
            use("client certificate", failed);
            context_.use_private_key(
              asio::buffer(from.private_key), asio::ssl::context::pem, failed);
            use("client key", failed);
        }
    }
    // SSL_new() only reads the context and counts a reference, atomically.
    asio::ssl::context& get() const noexcept { return context_; }

private:
    // The bundle in one read here, rather than OpenSSL's default directory, which
    // it would search during handshakes, on a shard.
    void trust_system() {
        const char* named = std::getenv("SSL_CERT_FILE");
        const char* const bundle = named ? named : "/etc/ssl/certs/ca-certificates.crt";
        error_code failed;
        context_.load_verify_file(bundle, failed);
        if (failed) {
            context_.set_default_verify_paths();
        }
    }
    mutable asio::ssl::context context_{asio::ssl::context::tls_client};
};

shared_tls_context make_tls_context(const std::string& ca_file, bool skip_verify) {
    return std::make_shared<const tls_context>(ca_file, skip_verify);
}

shared_tls_context make_tls_context(const tls_material& from) {
    return std::make_shared<const tls_context>(from);
}

class http_stream::exchange_state {
public:
    exchange_state(std::unique_ptr<channel> over, shared_tls_context trust)
      : trust_(std::move(trust))
      , channel_(std::move(over)) {
        buffer_.reserve(first_read);
    }

    task<result<void>>
    connect(std::vector<asio::ip::address> addresses, std::uint16_t port, deadline d);
    task<result<http_head>> exchange(http_request request, deadline d);
    task<result<std::size_t>> read_some(std::span<std::byte> into, deadline d);

    bool silent() const noexcept { return !answered_; }
    bool reusable() const noexcept {
        return healthy_ && finished_ && keep_ && !aborted_ && buffer_.size() == 0;
    }
    bool alive() noexcept;
    bool wide() const noexcept { return wide_; }
    void limit_receive_window(std::size_t bytes) noexcept {
        wide_ = wide_ || bytes == 0;
        const auto change = bytes > window_ ? bytes - window_ : window_ - bytes;
        if (bytes != window_ && (bytes == 0 || change > window_ / 8)) {
            window_ = bytes;
            const int clamp =
              bytes == 0 ? std::numeric_limits<int>::max() : static_cast<int>(bytes);
            ::setsockopt(
              channel_->tcp().socket().native_handle(), IPPROTO_TCP, TCP_WINDOW_CLAMP, &clamp,
              sizeof clamp);
        }
    }
    void abort() noexcept {
        aborted_ = true;
        channel_->tcp().cancel();
    }

private:
    void begin_response();
    http_head begin_body();
    task<result<std::size_t>> read_counted(std::span<std::byte> into);
    task<result<std::size_t>> read_parsed(std::span<std::byte> into);
    result<std::size_t> got(std::size_t n, bool end);

    shared_tls_context trust_; // outlives the stream that uses it
    std::unique_ptr<channel> channel_;
    beast::flat_buffer buffer_{header_limit + first_read};
    std::optional<reader> parser_;
    // With a Content-Length the body goes round the parser, into the caller's
    // memory; this is what is left of it then.
    std::optional<std::uint64_t> counted_;
    bool answered_ = true; // a byte of the response has come
    bool healthy_ = true;  // the last operation succeeded
    bool finished_ = true; // the body has been read to its end
    bool keep_ = true;     // the server will take another request
    bool aborted_ = false;
    std::size_t window_ = 0; // 0: not limited
    bool wide_ = false;
};

task<result<void>> http_stream::exchange_state::connect(
  std::vector<asio::ip::address> addresses, std::uint16_t port, deadline d) {
    auto& tcp = channel_->tcp();
    const auto refused = co_await reach(tcp, std::move(addresses), port, d);
    if (refused) {
        co_return to_fault(refused, "connecting");
    }
    tune(tcp.socket());
    tcp.expires_at(d.at());
    const auto failed = co_await channel_->handshake();
    if (failed) {
        co_return handshake_fault(failed);
    }
    co_return result<void>();
}

task<result<http_head>> http_stream::exchange_state::exchange(http_request request, deadline d) {
    if (aborted_ || !reusable()) {
        co_return fault(errc::stopping, "connection is not usable");
    }
    healthy_ = false;
    answered_ = false;
    channel_->tcp().expires_at(d.at());
    auto message = to_beast(request);
    const auto unsent = co_await channel_->write(message);
    if (unsent) {
        co_return to_fault(unsent, "sending the request");
    }
    for (int i = 0; i < informational_limit; ++i) {
        begin_response();
        const auto failed = co_await channel_->read_head(buffer_, *parser_);
        answered_ = answered_ || parser_->got_some() || buffer_.size() > 0;
        if (failed) {
            co_return to_fault(failed, "waiting for the response");
        }
        if (parser_->get().result_int() >= 200) {
            co_return begin_body();
        }
    }
    co_return fault(errc::corrupt, "only informational responses");
}

void http_stream::exchange_state::begin_response() {
    parser_.emplace();
    parser_->header_limit(header_limit);
    parser_->body_limit(boost::none); // whoever reads the body bounds it
}

http_head http_stream::exchange_state::begin_body() {
    auto head = to_head(*parser_);
    healthy_ = true;
    finished_ = parser_->is_done();
    keep_ = parser_->keep_alive();
    counted_ = parser_->chunked() ? std::nullopt : head.length();
    return head;
}

task<result<std::size_t>>
http_stream::exchange_state::read_some(std::span<std::byte> into, deadline d) {
    if (aborted_) {
        co_return fault(errc::stopping, "connection aborted");
    }
    if (finished_ || into.empty()) {
        co_return std::size_t(0);
    }
    channel_->tcp().expires_at(d.at());
    healthy_ = false;
    if (counted_) {
        co_return co_await read_counted(into);
    }
    co_return co_await read_parsed(into);
}

result<std::size_t> http_stream::exchange_state::got(std::size_t n, bool end) {
    healthy_ = true;
    finished_ = end;
    return n;
}

task<result<std::size_t>> http_stream::exchange_state::read_counted(std::span<std::byte> into) {
    const auto most = static_cast<std::size_t>(std::min<std::uint64_t>(into.size(), *counted_));
    std::size_t n = std::min(most, buffer_.size());
    if (n > 0) { // came with the head
        std::memcpy(into.data(), buffer_.data().data(), n);
        buffer_.consume(n);
    } else {
        const auto [failed, arrived] = co_await channel_->read(into.first(most));
        if (failed == asio::error::eof || failed == asio::ssl::error::stream_truncated) {
            co_return fault(
              errc::unavailable,
              "connection closed " + std::to_string(*counted_) + " bytes before the body's end");
        }
        if (failed) {
            co_return to_fault(failed, "reading the body");
        }
        n = arrived;
    }
    *counted_ -= n;
    co_return got(n, *counted_ == 0);
}

// Chunked, or up to the end of the connection.
task<result<std::size_t>> http_stream::exchange_state::read_parsed(std::span<std::byte> into) {
    std::size_t n = 0;
    while (n == 0 && !parser_->is_done()) {
        auto& body = parser_->get().body();
        body.data = into.data();
        body.size = into.size();
        body.more = true;
        auto failed = co_await channel_->read_body(buffer_, *parser_);
        n = into.size() - body.size;
        if (failed && failed != http::error::need_buffer) {
            co_return to_fault(failed, "reading the body");
        }
    }
    co_return got(n, parser_->is_done());
}

// Any byte here is unasked for, but TLS sends session tickets when it likes.
bool http_stream::exchange_state::alive() noexcept {
    char byte = 0;
    const auto fd = channel_->tcp().socket().native_handle();
    const auto n = ::recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (n < 0) {
        return errno == EAGAIN || errno == EWOULDBLOCK;
    }
    return n > 0 && channel_->secure();
}

task<result<std::unique_ptr<http_stream>>> http_stream::connect(
  asio::any_io_executor home, url to, std::vector<asio::ip::address> addresses,
  shared_tls_context trust, deadline d, std::stop_token stop) {
    std::unique_ptr<channel> over;
    if (to.tls()) {
        auto secure = std::make_unique<tls_channel>(home, trust->get());
        secure->expect(to.name());
        over = std::move(secure);
    } else {
        over = std::make_unique<plain_channel>(home);
    }
    auto state = std::make_unique<exchange_state>(std::move(over), std::move(trust));
    {
        std::stop_callback give_up(stop, [&state] { state->abort(); });
        if (stop.stop_requested()) {
            co_return fault(errc::stopping, "connecting");
        }
        auto up = co_await state->connect(std::move(addresses), to.port(), d);
        if (!up) {
            co_return up.error();
        }
    }
    co_return std::make_unique<http_stream>(std::move(state));
}

http_stream::http_stream(std::unique_ptr<exchange_state> state)
  : state_(std::move(state)) {
}

http_stream::~http_stream() = default;

task<result<http_head>> http_stream::exchange(http_request request, deadline d) {
    return state_->exchange(std::move(request), d);
}

task<result<std::size_t>> http_stream::read_some(std::span<std::byte> into, deadline d) {
    return state_->read_some(into, d);
}

void http_stream::limit_receive_window(std::size_t bytes) noexcept {
    state_->limit_receive_window(bytes);
}

bool http_stream::wide() const noexcept {
    return state_->wide();
}

bool http_stream::silent() const noexcept {
    return state_->silent();
}

bool http_stream::reusable() const noexcept {
    return state_->reusable();
}

bool http_stream::alive() noexcept {
    return state_->alive();
}

void http_stream::abort() noexcept {
    state_->abort();
}

} // namespace firstlight

#include "test/imposter/registry_imposter.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <list>
#include <mutex>
#include <stdexcept>
#include <thread>

// A thread for each connection and blocking calls: the misbehaviour asked for is
// then a matter of plain statements.

namespace firstlight::test {

namespace {

constexpr std::size_t longest_head = 64 << 10;
constexpr std::size_t piece = 64 << 10;
constexpr std::string_view alphabet =
  "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

std::string base64(std::string_view plain) {
    std::string out;
    unsigned bits = 0, held = 0;
    for (const unsigned char c : plain) {
        bits = bits << 8 | c;
        for (held += 8; held >= 6; held -= 6) {
            out += alphabet[bits >> (held - 6) & 63];
        }
    }
    if (held > 0) {
        out += alphabet[bits << (6 - held) & 63];
    }
    while (out.size() % 4 != 0) {
        out += '=';
    }
    return out;
}

std::string lower(std::string text) {
    std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) {
        return static_cast<char>(std::tolower(c));
    });
    return text;
}

BIO* reader_of(const std::string& pem) {
    return BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
}

void demand_clients_of(SSL_CTX* context, const std::string& authority) {
    BIO* in = reader_of(authority);
    X509* x509 = PEM_read_bio_X509(in, nullptr, nullptr, nullptr);
    X509_STORE_add_cert(SSL_CTX_get_cert_store(context), x509);
    SSL_CTX_add_client_CA(context, x509);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    X509_free(x509);
    BIO_free(in);
}

SSL_CTX* make_context(const imposter_options& o) {
    auto* context = SSL_CTX_new(TLS_server_method());
    BIO* certificate = reader_of(o.certificate);
    BIO* key = reader_of(o.private_key);
    X509* x509 = PEM_read_bio_X509(certificate, nullptr, nullptr, nullptr);
    EVP_PKEY* pkey = PEM_read_bio_PrivateKey(key, nullptr, nullptr, nullptr);
    const bool good =
      SSL_CTX_use_certificate(context, x509) == 1 && SSL_CTX_use_PrivateKey(context, pkey) == 1;
    X509_free(x509);
    EVP_PKEY_free(pkey);
    BIO_free(certificate);
    BIO_free(key);
    if (!good) {
        SSL_CTX_free(context);
        throw std::runtime_error("imposter: bad certificate");
    }
    if (!o.client_authority.empty()) {
        demand_clients_of(context, o.client_authority);
    }
    return context;
}

// Bound to loopback. The port stays ours while any such socket is open, and only one
// that listens is connected to.
int bound_socket(std::uint16_t port) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    at.sin_port = htons(port);
    if (::bind(fd, reinterpret_cast<sockaddr*>(&at), sizeof at) != 0) {
        throw std::runtime_error("imposter: cannot bind on loopback");
    }
    return fd;
}

// One accepted connection.
class wire {
public:
    wire(int fd, SSL_CTX* context)
      : fd_(fd) {
        const int on = 1;
        ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (context) {
            ssl_ = SSL_new(context);
            SSL_set_fd(ssl_, fd_);
            sound_ = SSL_accept(ssl_) == 1;
            if (!sound_) {
                let_know();
            }
        }
    }
    ~wire() {
        SSL_free(ssl_);
        ::close(fd_);
    }
    wire(const wire&) = delete;
    wire& operator=(const wire&) = delete;

    bool sound() const noexcept { return sound_; }
    bool write(std::string_view data) {
        while (!data.empty()) {
            const auto n = ssl_ ? SSL_write(ssl_, data.data(), static_cast<int>(data.size()))
                                : ::send(fd_, data.data(), data.size(), MSG_NOSIGNAL);
            if (n <= 0) {
                return false;
            }
            data.remove_prefix(static_cast<std::size_t>(n));
        }
        return true;
    }
    // Up to and including the empty line; the rest stays for read_body().
    std::optional<std::string> read_head() {
        std::size_t end = 0;
        while ((end = pending_.find("\r\n\r\n")) == pending_.npos) {
            if (pending_.size() > longest_head || !receive()) {
                return std::nullopt;
            }
        }
        auto head = pending_.substr(0, end + 2);
        pending_.erase(0, end + 4);
        return head;
    }
    std::string read_body(std::size_t size) {
        while (pending_.size() < size && receive()) {
        }
        auto body = pending_.substr(0, size);
        pending_.erase(0, body.size());
        return body;
    }
    // The common name of the certificate that the client presented; empty: none.
    std::string client() const {
        X509* shown = ssl_ ? SSL_get1_peer_certificate(ssl_) : nullptr;
        char name[256] = "";
        if (shown) {
            X509_NAME_get_text_by_NID(X509_get_subject_name(shown), NID_commonName, name, 256);
        }
        X509_free(shown);
        return name;
    }
    void reset_on_close() {
        const linger abrupt{1, 0};
        ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &abrupt, sizeof abrupt);
    }

private:
    // Closing with something unread would take back the alert that says why.
    void let_know() {
        ::shutdown(fd_, SHUT_WR);
        char ignored[4096];
        while (::recv(fd_, ignored, sizeof ignored, 0) > 0) {
        }
    }
    bool receive() {
        char data[4096];
        const auto n = ssl_ ? SSL_read(ssl_, data, sizeof data) : ::recv(fd_, data, sizeof data, 0);
        if (n <= 0) {
            return false;
        }
        if (!ssl_ && data[0] == handshake && pending_.empty()) {
            write("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"); // as servers do
            return false;
        }
        pending_.append(data, static_cast<std::size_t>(n));
        return true;
    }
    static constexpr char handshake = 0x16; // RFC 8446, section 5.1: no letter of HTTP's

    const int fd_;
    SSL* ssl_ = nullptr;
    bool sound_ = true;
    std::string pending_;
};

imposter_request parse(const std::string& head) {
    imposter_request r;
    std::size_t line = head.find("\r\n");
    const auto first = head.substr(0, line);
    const auto space = first.find(' ');
    r.method = first.substr(0, space);
    r.path = first.substr(space + 1, first.rfind(' ') - space - 1);
    if (const auto mark = r.path.find('?'); mark != r.path.npos) {
        r.query = r.path.substr(mark + 1);
        r.path.resize(mark);
    }
    for (line += 2; line < head.size();) {
        const auto end = head.find("\r\n", line);
        const auto colon = head.find(':', line);
        const auto value = head.find_first_not_of(' ', colon + 1);
        r.headers[lower(head.substr(line, colon - line))] = head.substr(value, end - value);
        line = end + 2;
    }
    r.range = r.headers["range"];
    r.authorization = r.headers["authorization"];
    return r;
}

struct response {
    unsigned status = 200;
    std::vector<std::pair<std::string, std::string>> headers;
    std::string body;
};

struct span_of_blob {
    std::uint64_t begin = 0, end = 0;
};

// nullopt: not satisfiable.
std::optional<span_of_blob> satisfy(std::string_view range, std::uint64_t size) {
    range.remove_prefix(std::min(range.find('=') + 1, range.size()));
    const auto dash = range.find('-');
    const auto number = [](std::string_view t) {
        std::uint64_t n = 0;
        std::from_chars(t.data(), t.data() + t.size(), n);
        return n;
    };
    if (dash == 0) {
        const auto n = std::min(number(range.substr(1)), size);
        return n == 0 ? std::nullopt : std::optional(span_of_blob{size - n, size});
    }
    const auto begin = number(range.substr(0, dash));
    const auto last = range.substr(dash + 1);
    const auto end = last.empty() ? size : std::min(number(last) + 1, size);
    return begin >= end ? std::nullopt : std::optional(span_of_blob{begin, end});
}

} // namespace

class registry_imposter::impl {
public:
    explicit impl(imposter_options o);
    ~impl() { vanish(); }

    void listen();
    void refuse();
    void vanish();
    void drop_connections();

    mutable std::mutex mutex; // all below
    imposter_options options;
    std::map<std::string, std::string> blobs; // by digest
    struct planned {
        imposter_fault fault;
        unsigned after;
        std::string path;
    };
    std::list<planned> plans;
    std::vector<std::pair<imposter_fault, std::string>> always;
    std::vector<imposter_request> requests;
    unsigned accepted = 0;
    std::uint64_t sent = 0;
    std::map<std::string, unsigned> signatures; // uses left
    unsigned signed_so_far = 0;
    std::map<std::string, unsigned> tokens; // uses left
    unsigned tokens_so_far = 0;
    std::uint16_t port = 0;

private:
    struct session {
        int fd;
        std::thread thread;
        bool over = false;
    };
    void accept_all();
    void serve(session& s, unsigned number);
    bool answer(wire& w, imposter_request& r);
    std::optional<imposter_fault> misbehave(const std::string& path);
    response respond(const imposter_request& r, const imposter_fault& f);
    response serve_token(const imposter_request& r);
    std::optional<response> refuse(const imposter_request& r);
    std::string challenge(const imposter_request& r) const;
    response redirect(const imposter_request& r);
    response serve_blob(const imposter_request& r, const imposter_fault& f);
    bool deliver(wire& w, const imposter_request& r, response out, const imposter_fault& f);
    void stall(int ms);
    void reap(bool all);

    SSL_CTX* context_ = nullptr;
    int holder_ = -1; // keeps the port while nothing listens
    int listener_ = -1;
    std::thread acceptor_;
    std::list<std::unique_ptr<session>> sessions_;
    std::condition_variable ending_;
    bool refusing_ = false;
    bool gone_ = false;
    unsigned epoch_ = 0; // grows when connections are dropped: ends stalls
};

registry_imposter::impl::impl(imposter_options o)
  : options(std::move(o)) {
    std::signal(SIGPIPE, SIG_IGN); // SSL_write() has no MSG_NOSIGNAL
    if (!options.certificate.empty()) {
        context_ = make_context(options);
    }
    holder_ = bound_socket(0);
    sockaddr_in at{};
    socklen_t size = sizeof at;
    ::getsockname(holder_, reinterpret_cast<sockaddr*>(&at), &size);
    port = ntohs(at.sin_port);
    listen();
}

void registry_imposter::impl::listen() {
    listener_ = bound_socket(port);
    if (::listen(listener_, 128) != 0) {
        throw std::runtime_error("imposter: cannot listen on loopback");
    }
    refusing_ = false;
    acceptor_ = std::thread([this] { accept_all(); });
}

void registry_imposter::impl::accept_all() {
    while (true) {
        const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
        const std::lock_guard hold(mutex);
        if (gone_ || refusing_) {
            if (fd >= 0) {
                ::close(fd);
            }
            return;
        }
        if (fd < 0) {
            continue;
        }
        reap(false);
        const auto number = ++accepted;
        auto& s = *sessions_.emplace_back(std::make_unique<session>());
        s.fd = fd;
        s.thread = std::thread([this, &s, number] { serve(s, number); });
    }
}

// Joins threads that have ended. With `all`, called when nothing is accepted any more.
void registry_imposter::impl::reap(bool all) {
    for (auto each = sessions_.begin(); each != sessions_.end();) {
        if (all || (*each)->over) {
            (*each)->thread.join();
            each = sessions_.erase(each);
        } else {
            ++each;
        }
    }
}

void registry_imposter::impl::serve(session& s, unsigned number) {
    {
        wire w(s.fd, context_);
        unsigned served = 0;
        while (w.sound()) {
            const auto head = w.read_head();
            if (!head) {
                break;
            }
            auto r = parse(*head);
            r.connection = number;
            r.client = w.client();
            if (const auto length = r.headers.find("content-length"); length != r.headers.end()) {
                r.body = w.read_body(std::stoul(length->second));
            }
            if (!answer(w, r)) {
                break;
            }
            const std::lock_guard hold(mutex);
            if (++served == options.requests_per_connection) {
                break;
            }
        }
        // Under the lock, or drop_connections() might shut a stranger's descriptor.
        const std::lock_guard hold(mutex);
        s.over = true;
        s.fd = -1;
    }
}

std::optional<imposter_fault> registry_imposter::impl::misbehave(const std::string& path) {
    std::optional<imposter_fault> chosen;
    for (auto each = plans.begin(); each != plans.end();) {
        if (path.find(each->path) == path.npos) {
            ++each;
        } else if (each->after > 0) {
            --(each++)->after;
        } else {
            if (!chosen) {
                chosen = each->fault;
            }
            each = plans.erase(each);
        }
    }
    for (const auto& [fault, part] : always) {
        if (!chosen && path.find(part) != path.npos) {
            chosen = fault;
        }
    }
    return chosen;
}

bool registry_imposter::impl::answer(wire& w, imposter_request& r) {
    imposter_fault f;
    response out;
    std::chrono::milliseconds wait;
    {
        const std::lock_guard hold(mutex);
        requests.push_back(r);
        f = misbehave(r.path).value_or(imposter_fault());
        wait = options.latency + f.delay;
        if (!f.drop_connection) {
            out = respond(r, f);
        }
    }
    if (wait.count() > 0) {
        stall(static_cast<int>(wait.count()));
    }
    if (f.reset) {
        w.reset_on_close();
    }
    return !f.drop_connection && deliver(w, r, std::move(out), f);
}

response registry_imposter::impl::respond(const imposter_request& r, const imposter_fault& f) {
    if (f.status != 0) {
        response out{f.status, {}, ""};
        if (!f.retry_after.empty()) {
            out.headers.emplace_back("Retry-After", f.retry_after);
        }
        if (!f.location.empty()) {
            out.headers.emplace_back("Location", f.location);
        }
        return out;
    }
    if (r.path == "/token") {
        return serve_token(r);
    }
    const bool data = r.path.starts_with("/data/");
    if (!data) {
        if (auto refusal = refuse(r)) {
            return std::move(*refusal);
        }
        if (!options.redirect_to.empty()) {
            return redirect(r);
        }
    } else if (const auto left = signatures.find(r.query); left != signatures.end()) {
        if (left->second == 0) {
            return {403, {}, "signature expired"};
        }
        --left->second;
    }
    return serve_blob(r, f);
}

std::string registry_imposter::impl::challenge(const imposter_request& r) const {
    if (options.authentication == imposter_options::auth::basic) {
        return R"(Basic realm="imposter")";
    }
    const auto end = r.path.find("/blobs/");
    const auto repository = r.path.substr(4, end - 4);
    const auto scheme = context_ ? "https" : "http";
    const auto realm = options.realm.empty()
                         ? std::string(scheme) + "://127.0.0.1:" + std::to_string(port) + "/token"
                         : options.realm;
    return R"(Bearer realm=")" + realm + R"(",service="imposter",scope="repository:)" + repository +
           R"(:pull")";
}

std::optional<response> registry_imposter::impl::refuse(const imposter_request& r) {
    using auth = imposter_options::auth;
    if (options.authentication == auth::none) {
        return std::nullopt;
    }
    if (options.authentication == auth::basic) {
        if (r.authorization == "Basic " + base64(options.user + ":" + options.password)) {
            return std::nullopt;
        }
        return response{401, {{"WWW-Authenticate", challenge(r)}}, "denied"};
    }
    const auto token = r.authorization.starts_with("Bearer ")
                         ? tokens.find(r.authorization.substr(7))
                         : tokens.end();
    if (token != tokens.end() && (options.token_uses == 0 || token->second > 0)) {
        if (options.token_uses > 0) {
            --token->second;
        }
        return std::nullopt;
    }
    const auto status = r.authorization.empty() ? 401 : options.refusal;
    response out{status, {}, "denied"};
    if (status == 401) {
        out.headers.emplace_back("WWW-Authenticate", challenge(r));
    }
    return out;
}

response registry_imposter::impl::serve_token(const imposter_request& r) {
    const bool identity =
      !options.identity_token.empty() &&
      r.body.find("refresh_token=" + options.identity_token) != std::string::npos;
    const bool user = r.authorization == "Basic " + base64(options.user + ":" + options.password);
    if (!options.user.empty() && !user && !identity) {
        return {401, {}, "denied"};
    }
    const auto token = "token-" + std::to_string(++tokens_so_far);
    tokens[token] = options.token_uses;
    auto json = R"({"token":")" + token + '"';
    if (options.token_lifetime > 0) {
        json += R"(,"expires_in":)" + std::to_string(options.token_lifetime);
    }
    return {200, {{"Content-Type", "application/json"}}, json + "}"};
}

response registry_imposter::impl::redirect(const imposter_request& r) {
    const auto digest = r.path.substr(r.path.rfind('/') + 1);
    const auto signature = "sig=" + std::to_string(++signed_so_far);
    if (options.redirect_uses > 0) {
        signatures[signature] = options.redirect_uses;
    }
    return {
      307, {{"Location", options.redirect_to + "/data/" + digest + "?" + signature}}, "elsewhere"};
}

response registry_imposter::impl::serve_blob(const imposter_request& r, const imposter_fault& f) {
    const auto found = blobs.find(r.path.substr(r.path.rfind('/') + 1));
    if (found == blobs.end()) {
        return {404, {}, "no such blob"};
    }
    const auto& blob = found->second;
    response out{200, {{"Accept-Ranges", "bytes"}}, ""};
    const bool suffix = r.range.starts_with("bytes=-");
    const bool unable = suffix && !options.suffix_ranges;
    if (unable && options.suffix_status != 200) {
        return {options.suffix_status, {}, ""};
    }
    if (r.range.empty() || f.ignore_range || unable) {
        out.body = blob;
        return out;
    }
    const auto part = satisfy(r.range, blob.size());
    const auto size = std::to_string(blob.size());
    if (!part) {
        return {416, {{"Content-Range", "bytes */" + size}}, ""};
    }
    out.status = 206;
    out.body = blob.substr(part->begin, part->end - part->begin);
    const auto told = f.content_range.empty() ? "bytes " + std::to_string(part->begin) + "-" +
                                                  std::to_string(part->end - 1) + "/" + size
                                              : f.content_range;
    if (told != "none") {
        out.headers.emplace_back("Content-Range", told);
    }
    return out;
}

bool registry_imposter::impl::deliver(
  wire& w, const imposter_request& r, response out, const imposter_fault& f) {
    std::string head = "HTTP/1.1 " + std::to_string(out.status) + " Whatever\r\n";
    for (const auto& [name, value] : out.headers) {
        head += name + ": " + value + "\r\n";
    }
    if (f.header_padding > 0) {
        head += "X-Padding: " + std::string(f.header_padding, 'x') + "\r\n";
    }
    if (f.chunked) {
        head += "Transfer-Encoding: chunked\r\n";
    } else {
        const auto length = f.content_length.value_or(out.body.size());
        head += "Content-Length: " + std::to_string(length) + "\r\n";
    }
    head += "\r\n";
    if (f.wrong_bytes) {
        for (auto& c : out.body) {
            c = static_cast<char>(~c);
        }
    }
    if (r.method == "HEAD") {
        out.body.clear();
    }
    std::string_view body(out.body);
    const auto limit = std::min(f.close_after.value_or(~0ULL), f.stall_after.value_or(~0ULL));
    const bool cut = limit < body.size();
    body = body.substr(0, cut ? limit : body.size());
    // The head and the first piece in one segment, as servers do.
    bool first = true;
    do {
        auto part = body.substr(0, piece);
        body.remove_prefix(part.size());
        std::string text = first ? head : std::string();
        first = false;
        if (f.chunked && !part.empty()) {
            char size[20];
            const auto end = std::to_chars(size, size + sizeof size, part.size(), 16).ptr;
            text.append(size, end).append("\r\n").append(part).append("\r\n");
        } else {
            text += part;
        }
        if (f.chunked && body.empty() && !cut) {
            text += "0\r\n\r\n";
        }
        {
            const std::lock_guard hold(mutex);
            sent += part.size();
        }
        if (!w.write(text)) {
            return false;
        }
    } while (!body.empty());
    if (cut && f.stall_after) {
        stall(3600 * 1000);
    }
    return !cut;
}

// Until then, or until connections are dropped.
void registry_imposter::impl::stall(int ms) {
    std::unique_lock hold(mutex);
    const auto before = epoch_;
    ending_.wait_for(
      hold, std::chrono::milliseconds(ms), [&] { return gone_ || epoch_ != before; });
}

void registry_imposter::impl::drop_connections() {
    const std::lock_guard hold(mutex);
    ++epoch_;
    ending_.notify_all();
    for (const auto& each : sessions_) {
        if (each->fd >= 0) {
            ::shutdown(each->fd, SHUT_RDWR);
        }
    }
}

void registry_imposter::impl::refuse() {
    {
        const std::lock_guard hold(mutex);
        if (refusing_) {
            return;
        }
        refusing_ = true;
    }
    ::shutdown(listener_, SHUT_RDWR); // wakes accept4()
    acceptor_.join();
    ::close(listener_);
    drop_connections();
}

void registry_imposter::impl::vanish() {
    {
        const std::lock_guard hold(mutex);
        if (gone_) {
            return;
        }
        gone_ = true;
    }
    refuse();
    ::close(holder_);
    drop_connections();
    reap(true);
    SSL_CTX_free(context_);
}

registry_imposter::registry_imposter(imposter_options o)
  : impl_(std::make_shared<impl>(std::move(o))) {
}

registry_imposter::~registry_imposter() = default;

std::optional<std::pair<std::uint64_t, std::uint64_t>> imposter_request::bytes() const {
    unsigned long long first = 0;
    unsigned long long last = 0;
    if (std::sscanf(range.c_str(), "bytes=%llu-%llu", &first, &last) != 2) {
        return std::nullopt;
    }
    return std::pair<std::uint64_t, std::uint64_t>(first, last + 1);
}

std::string registry_imposter::host() const {
    return "127.0.0.1:" + std::to_string(impl_->port);
}

std::string registry_imposter::url() const {
    return (impl_->options.certificate.empty() ? "http://" : "https://") + host();
}

digest registry_imposter::add_blob(std::string content) {
    const auto name = digest::of(std::as_bytes(std::span(content)));
    put_blob(name, std::move(content));
    return name;
}

void registry_imposter::put_blob(const digest& as, std::string content) {
    const std::lock_guard hold(impl_->mutex);
    impl_->blobs[as.to_string()] = std::move(content);
}

void registry_imposter::change(const std::function<void(imposter_options&)>& edit) {
    const std::lock_guard hold(impl_->mutex);
    edit(impl_->options);
}

void registry_imposter::fail(imposter_fault f, unsigned nth, std::string path) {
    const std::lock_guard hold(impl_->mutex);
    impl_->plans.push_back({std::move(f), nth, std::move(path)});
}

void registry_imposter::fail_always(imposter_fault f, std::string path) {
    const std::lock_guard hold(impl_->mutex);
    impl_->always.emplace_back(std::move(f), std::move(path));
}

void registry_imposter::forgive() {
    const std::lock_guard hold(impl_->mutex);
    impl_->always.clear();
    impl_->plans.clear();
}

std::vector<imposter_request> registry_imposter::log() const {
    const std::lock_guard hold(impl_->mutex);
    return impl_->requests;
}

std::size_t registry_imposter::count(const std::string& path) const {
    const auto all = log();
    return static_cast<std::size_t>(std::count_if(all.begin(), all.end(), [&](const auto& r) {
        return r.path.find(path) != std::string::npos;
    }));
}

std::size_t registry_imposter::connections() const {
    const std::lock_guard hold(impl_->mutex);
    return impl_->accepted;
}

std::uint64_t registry_imposter::bytes_sent() const {
    const std::lock_guard hold(impl_->mutex);
    return impl_->sent;
}

void registry_imposter::clear_log() {
    const std::lock_guard hold(impl_->mutex);
    impl_->requests.clear();
}

void registry_imposter::drop_connections() {
    impl_->drop_connections();
}

void registry_imposter::refuse() {
    impl_->refuse();
}

void registry_imposter::listen() {
    impl_->listen();
}

void registry_imposter::vanish() {
    impl_->vanish();
}

} // namespace firstlight::test

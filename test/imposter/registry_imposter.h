#pragma once
// A registry in the test's own process, on loopback, with threads of its own,
// that misbehaves as told and remembers what it was asked.

#include "actors/digest.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace firstlight::test {

/// One request as the imposter saw it.
struct imposter_request {
    std::string method;
    std::string path;  // without the query
    std::string query; // without the '?'
    std::string range; // the Range header, or empty
    std::string authorization;
    std::map<std::string, std::string> headers; // names in lower case
    std::string body;
    std::string client;      // the name in the certificate that it presented, if any
    unsigned connection = 0; // 1, 2, … in order of acceptance

    /// First byte, and the one after the last, of "bytes=A-B"; nothing for other ranges.
    std::optional<std::pair<std::uint64_t, std::uint64_t>> bytes() const;
};

/// What to do with one request instead of what a good registry would do. The
/// fields combine; the default changes nothing.
struct imposter_fault {
    unsigned status = 0;                      // answer with this and an empty body
    std::string retry_after;                  // with a Retry-After header of this value
    std::string location;                     // with a Location header of this value
    bool drop_connection = false;             // close without a byte of answer
    std::optional<std::uint64_t> close_after; // close after this many bytes of body
    std::optional<std::uint64_t> stall_after; // send nothing more after so many
    std::chrono::milliseconds delay{0};       // before the header
    std::string content_range;                // in place of the right one; "none" leaves it out
    bool ignore_range = false;                // 200 and the whole blob
    bool wrong_bytes = false;                 // every body byte inverted
    bool chunked = false;                     // Transfer-Encoding: chunked, no Content-Length
    bool reset = false;                       // with close_after and drop_connection: RST, not FIN
    std::optional<std::uint64_t> content_length; // in place of the right one
    std::uint64_t header_padding = 0;            // bytes of extra response header
};

/// The imposter's lasting habits. Set before start() or between requests.
struct imposter_options {
    /// PEM; both set: TLS.
    std::string certificate;
    std::string private_key;
    /// PEM; set: clients have to present a certificate of this authority's.
    std::string client_authority;
    /// Off: answers a suffix range with `suffix_status`, or the whole blob for 200.
    bool suffix_ranges = true;
    unsigned suffix_status = 416;
    /// Blobs are answered with a redirect to `redirect_to` + "/data/<digest>?sig=…";
    /// empty: served directly.
    std::string redirect_to;
    /// A redirect's signature is good for so many uses of /data; 0: for ever.
    unsigned redirect_uses = 0;
    /// Close each connection after so many answers; 0: never.
    unsigned requests_per_connection = 0;

    enum class auth { none, bearer, basic };
    auth authentication = auth::none;
    /// For basic, and for the token endpoint when not empty.
    std::string user;
    std::string password;
    /// The token endpoint's identity token ("refresh_token" grant); empty: none.
    std::string identity_token;
    /// `expires_in` of tokens, in seconds; 0 leaves it out.
    unsigned token_lifetime = 300;
    /// A token is refused after so many uses; 0: never.
    unsigned token_uses = 0;
    /// What is answered to a used-up token.
    unsigned refusal = 401;
    /// Realm in challenges; empty: this imposter's own /token.
    std::string realm;
    /// Before each response header: a long way to the registry.
    std::chrono::milliseconds latency{0};
};

/// Serves GET and HEAD of /v2/<repository>/blobs/<digest> (any repository),
/// /data/<digest> (what redirects point at) and /token.
///
/// Thread safety: all methods from any thread.
class registry_imposter {
public:
    explicit registry_imposter(imposter_options o = {});
    ~registry_imposter();
    registry_imposter(const registry_imposter&) = delete;
    registry_imposter& operator=(const registry_imposter&) = delete;

    /// "127.0.0.1:<port>".
    std::string host() const;
    /// "http://127.0.0.1:<port>", or https.
    std::string url() const;

    /// Serves `content` from now on; returns its digest.
    digest add_blob(std::string content);
    /// Serves `content` under a digest that it need not have.
    void put_blob(const digest& as, std::string content);

    /// Changes the habits for requests that arrive from now on.
    void change(const std::function<void(imposter_options&)>& edit);
    /// Meets the `nth` request from now (0 is the next) whose path contains
    /// `path` with `f`. Several may be queued.
    void fail(imposter_fault f, unsigned nth = 0, std::string path = "/blobs/");
    /// Meets every such request with `f` until forgive().
    void fail_always(imposter_fault f, std::string path = "/blobs/");
    void forgive();

    /// Requests seen so far, in order of arrival.
    std::vector<imposter_request> log() const;
    /// Those whose path contains `path`.
    std::size_t count(const std::string& path) const;
    /// Connections accepted so far.
    std::size_t connections() const;
    /// Body bytes handed to the kernel so far.
    std::uint64_t bytes_sent() const;
    void clear_log();
    /// Closes every connection, idle ones too; goes on listening.
    void drop_connections();
    /// Stops listening and closes every connection: others are refused until listen().
    void refuse();
    /// Listens again, at the same address.
    void listen();
    /// Stops listening and closes every connection. Nothing answers afterwards.
    void vanish();

private:
    class impl;
    std::shared_ptr<impl> impl_;
};

} // namespace firstlight::test

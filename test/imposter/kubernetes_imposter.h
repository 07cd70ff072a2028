#pragma once
// As much of the API server of Kubernetes as serves secrets, in the test's own process, on
// loopback: lists in pages, watches, and the ways in which both end.

#include <memory>
#include <string>
#include <vector>

namespace firstlight::test {

struct kubernetes_options {
    // PEM; both set: TLS. With an authority, clients have to show a certificate of it.
    std::string certificate;
    std::string private_key;
    std::string client_authority;
    std::string token; // the only one that is good; empty: none is asked for
};

/// Thread safety: all methods from any thread.
class kubernetes_imposter {
public:
    explicit kubernetes_imposter(kubernetes_options o = {});
    ~kubernetes_imposter();
    kubernetes_imposter(const kubernetes_imposter&) = delete;
    kubernetes_imposter& operator=(const kubernetes_imposter&) = delete;

    std::string url() const;

    /// Adds or changes the secret `name` of namespace "team": `config` is what docker's
    /// config.json would be. Watchers are told, as of the rest.
    void put(const std::string& name, const std::string& config);
    void remove(const std::string& name);
    /// Something that does not concern secrets happens; watchers get a bookmark.
    void bookmark();
    /// Ends all watches in order, as when their time is over.
    void end_watches();
    /// Closes all connections, at once.
    void drop_connections();
    /// Forgets what happened so far: a watch of an older version is told so, by the status
    /// of the answer or by an event.
    void forget_history(bool by_event);
    void set_token(std::string token);
    /// Answers the next `times` requests with `status`.
    void fail(unsigned status, unsigned times);

    /// Targets of the requests so far.
    std::vector<std::string> requests() const;
    /// Those that contain `part`.
    std::size_t count(const std::string& part) const;
    /// Watches under way that have been sent all there is.
    std::size_t watching() const;

private:
    class impl;
    std::unique_ptr<impl> impl_;
};

} // namespace firstlight::test

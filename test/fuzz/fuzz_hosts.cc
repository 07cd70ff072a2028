// A hosts.toml of anything: an answer, and what is understood is a place to ask.

#include "app/hosts_file.h"
#include "net/url.h"

#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace firstlight;
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    for (const std::string registry : {"docker.io", "localhost:5000", "registry.example"}) {
        const auto read = parse_hosts_file(text, "/certs.d/x/hosts.toml", registry);
        if (!read) {
            return 0;
        }
        for (const auto& host : read->hosts) {
            const bool rooted = host.path.empty() || host.path.starts_with('/');
            if (
              !rooted || host.path.ends_with('/') || !url::make(true, host.host, host.path + "/")) {
                std::abort();
            }
        }
    }
    return 0;
}

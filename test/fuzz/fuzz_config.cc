// A configuration file of anything: an answer, whatever it says, and soon.

#include "app/config.h"

#include <cstdint>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const auto loaded = firstlight::parse_config(text, "fuzz.toml");
    return loaded && loaded->values.root.empty() ? 1 : 0;
}

#include "fs/snapshot_info.h"

namespace firstlight {

result<void> check_labels(const snapshot_labels& labels) {
    for (const auto& [key, value] : labels) {
        if (key.empty()) {
            return fault(errc::invalid_argument, "a label's key must not be empty");
        }
        if (key.size() + value.size() > label_limit) {
            return fault(
              errc::invalid_argument, "label \"" + key.substr(0, 64) +
                                        "\": key and value are longer than " +
                                        std::to_string(label_limit) + " bytes");
        }
    }
    return {};
}

} // namespace firstlight

#pragma once

#include "actors/result.h"
#include "app/config.h"

#include <memory>

namespace firstlight {

/// The whole daemon: everything it consists of, built in order, started in order,
/// and stopped in the reverse one.
///
/// Used from main's thread; its calls block.
class daemon {
public:
    /// Serves when it returns. Errors say what could not be had: the root
    /// directory, overlayfs, FUSE, the stores, the socket.
    static result<std::unique_ptr<daemon>> start(const config& settings);
    ~daemon();

    /// Reads anew where registries are reached. What is under way goes on.
    void reload();
    /// Ends all service, unmounts, and keeps what is stored. Call once.
    void stop();

private:
    class parts;
    explicit daemon(std::unique_ptr<parts> p);
    std::unique_ptr<parts> parts_;
};

} // namespace firstlight

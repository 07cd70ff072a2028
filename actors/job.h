#pragma once

#include <memory>
#include <utility>

namespace firstlight {

/// A move-only callable without arguments, run at most once. (C++20 has no
/// std::move_only_function.)
class job {
public:
    job() = default;
    template <class F>
        requires(!std::is_same_v<std::remove_cvref_t<F>, job>)
    explicit job(F f)
      : body_(std::make_unique<body_of<F>>(std::move(f))) {}

    void operator()() { std::exchange(body_, nullptr)->run(); }
    explicit operator bool() const noexcept { return body_ != nullptr; }

private:
    struct body {
        virtual void run() = 0;
        virtual ~body() = default;
    };
    template <class F>
    struct body_of final : body {
        F f;
        explicit body_of(F&& x)
          : f(std::move(x)) {}
        void run() override { std::move(f)(); }
    };
    std::unique_ptr<body> body_;
};

} // namespace firstlight

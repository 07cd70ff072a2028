#include "test/cache/cache_rig.h"

using namespace firstlight;
using namespace firstlight::test;
using kind = lookup_answer::kind;

namespace {

struct rig : scratch_directory, running_cache {
    rig()
      : running_cache(in(*this)) {
        REQUIRE(started.has_value());
    }
    chunk_key key = key_of(1, 5000);
};

task<kind> ask_once(chunk_cache& cache, chunk_key key, std::vector<fill_ticket>& tickets) {
    std::vector<chunk_key> keys{key};
    auto answers = co_await cache.lookup(std::move(keys), lane::demand);
    auto& a = answers.value()[0];
    if (a.what() == kind::mine) {
        tickets.push_back(a.take_ticket());
    }
    co_return a.what();
}

task<bool> request_stop(std::stop_source source) {
    co_return source.request_stop();
}

} // namespace

TEST_CASE_FIXTURE(rig, "fifty readers of a missing chunk get one ticket and one content") {
    std::vector<fill_ticket> tickets[2];
    std::vector<std::future<kind>> asked;
    for (unsigned i = 0; i < 50; ++i) {
        asked.push_back(start(rt.at(i % 2), ask_once(cache, key, tickets[i % 2])));
    }
    int joined = 0;
    for (auto& a : asked) {
        joined += a.get() == kind::joined ? 1 : 0;
    }
    CHECK(joined == 49);
    REQUIRE(tickets[0].size() + tickets[1].size() == 1);
    auto& ticket = tickets[0].empty() ? tickets[1][0] : tickets[0][0];

    std::vector<std::future<result<chunk_handle>>> waiting;
    for (int i = 0; i < 49; ++i) {
        waiting.push_back(wait(key));
    }
    CHECK(cache.usage().flights == 1);
    CHECK(cache.fulfil(std::move(ticket), content_of(1, 5000)).has_value());
    for (auto& w : waiting) {
        const auto got = w.get();
        REQUIRE(got.has_value());
        CHECK(holds(**got, 1));
    }
    CHECK(cache.usage().flights == 0);
}

TEST_CASE_FIXTURE(rig, "overlapping batches from two shards share what they have in common") {
    std::vector<chunk_key> all;
    for (unsigned n = 0; n < 30; ++n) {
        all.push_back(key_of(n, 100 + n));
    }
    auto first = ask(std::vector(all.begin(), all.begin() + 20), lane::demand, 0);
    auto second = ask(std::vector(all.begin() + 10, all.end()), lane::demand, 1);
    for (unsigned n = 0; n < 20; ++n) {
        CHECK(first[n].what() == kind::mine);
        CHECK(second[n].what() == (n < 10 ? kind::joined : kind::mine));
    }
    for (unsigned n = 0; n < 20; ++n) {
        auto ticket = first[n].take_ticket();
        CHECK(ticket.key() == all[n]); // answers come in the order asked
        CHECK(cache.fulfil(std::move(ticket), content_of(n, 100 + n)).has_value());
    }
    const auto got = wait(all[15]).get();
    REQUIRE(got.has_value());
    CHECK(holds(**got, 15));
}

TEST_CASE_FIXTURE(rig, "a key given twice is a ticket once") {
    auto answers = ask(std::vector<chunk_key>{key, key});
    CHECK(answers[0].what() == kind::mine);
    CHECK(answers[1].what() == kind::joined);
}

TEST_CASE_FIXTURE(rig, "waiters of an abandoned flight get its fault, and the next may try") {
    auto ticket = ask(key).take_ticket();
    auto waiting = wait(key);
    eventually("the flight counts", [&] { return cache.usage().flights == 1; });
    start(rt.at(0), cache.wait(key, lane::demand, deadline::after(std::chrono::milliseconds(1))))
      .get(); // the other waiter is there by now: same lane, same shard
    cache.abandon(std::move(ticket), fault(errc::unauthorized, "registry said no"));
    const auto got = waiting.get();
    REQUIRE(got.has_error());
    CHECK(got.error().code() == errc::unauthorized);
    CHECK(got.error().context() == "registry said no");
    CHECK(ask(key).what() == kind::mine);
}

TEST_CASE_FIXTURE(rig, "a dropped ticket abandons by itself") {
    {
        const auto ticket = ask(key).take_ticket();
        CHECK(ask(key).what() == kind::joined);
    }
    eventually("another gets the ticket", [&] { return ask(key).what() == kind::mine; });
    auto again = ask(key);
    fill_ticket held = again.take_ticket();
    held = fill_ticket(); // and so does one that is assigned over
    eventually("another gets the ticket", [&] { return ask(key).what() == kind::mine; });
}

TEST_CASE_FIXTURE(rig, "whoever joins in a better lane raises the flight, and nobody lowers it") {
    auto ticket = ask(key, lane::background).take_ticket();
    CHECK(ticket.urgency() == lane::background);
    CHECK(ask(key, lane::prefetch).what() == kind::joined);
    CHECK(ticket.urgency() == lane::prefetch);
    const auto soon = deadline::after(std::chrono::milliseconds(1));
    CHECK(wait(key, soon, lane::demand).get().error().code() == errc::timed_out);
    CHECK(ticket.urgency() == lane::demand);
    CHECK(ask(key, lane::background).what() == kind::joined);
    CHECK(ticket.urgency() == lane::demand);
}

TEST_CASE_FIXTURE(rig, "a waiter's deadline is its own: the flight goes on") {
    auto ticket = ask(key).take_ticket();
    const auto late = wait(key, deadline::after(std::chrono::milliseconds(5))).get();
    CHECK(late.error().code() == errc::timed_out);
    auto patient = wait(key);
    CHECK(cache.fulfil(std::move(ticket), content_of(1, 5000)).has_value());
    CHECK(patient.get().has_value());
}

TEST_CASE_FIXTURE(rig, "a waiter can be interrupted on any shard: the flight goes on") {
    auto ticket = ask(key).take_ticket();
    auto patient = wait(key);
    for (unsigned shard = 0; shard < 2; ++shard) {
        std::stop_source source;
        const auto token = source.get_token();
        auto waiting = start(rt.at(shard), cache.wait(key, lane::demand, deadline::never(), token));
        CHECK(run(request_stop(source), shard));
        CHECK(waiting.get().error().code() == errc::interrupted);
        auto too_late =
          start(rt.at(shard), cache.wait(key, lane::demand, deadline::never(), token));
        CHECK(too_late.get().error().code() == errc::interrupted);
    }
    CHECK(cache.fulfil(std::move(ticket), content_of(1, 5000)).has_value());
    CHECK(patient.get().has_value());
}

TEST_CASE_FIXTURE(rig, "an interrupt may meet the content on its way") {
    for (unsigned n = 0; n < 100; ++n) {
        const auto shard = n % 2;
        auto ticket = ask(key_of(n, 100)).take_ticket();
        std::stop_source source;
        auto waiting = start(
          rt.at(shard),
          cache.wait(key_of(n, 100), lane::demand, deadline::never(), source.get_token()));
        auto stopping = start(rt.at(shard), request_stop(source));
        CHECK(cache.fulfil(std::move(ticket), content_of(n, 100)).has_value());
        const auto got = waiting.get();
        CHECK((got.has_value() || got.error().code() == errc::interrupted));
        CHECK(stopping.get());
    }
}

TEST_CASE_FIXTURE(rig, "content of the wrong size reaches nobody") {
    auto ticket = ask(key).take_ticket();
    const auto refused = cache.fulfil(std::move(ticket), content_of(1, 4999));
    CHECK(refused.error().code() == errc::corrupt);
    eventually("another gets the ticket", [&] { return ask(key).what() == kind::mine; });
}

TEST_CASE_FIXTURE(rig, "a key that lies about the size never finds the content") {
    CHECK(bring(1, 5000));
    settle();
    CHECK(ask(key).what() == kind::hit);
    const chunk_key liar(key.id(), 4096);
    CHECK(ask(liar).what() == kind::mine);
    CHECK(here(key) != nullptr);
    CHECK(here(liar) == nullptr);
}

TEST_CASE_FIXTURE(rig, "stop ends the flights and their waiters, and refuses what comes later") {
    auto ticket = ask(key).take_ticket();
    auto waiting = wait(key);
    CHECK(
      wait(key, deadline::after(std::chrono::milliseconds(1))).get().error().code() ==
      errc::timed_out);
    stop();
    CHECK(waiting.get().error().code() == errc::stopping);
    std::vector<chunk_key> keys{key};
    CHECK(run(cache.lookup(keys, lane::demand)).error().code() == errc::stopping);
    CHECK(cache.fulfil(std::move(ticket), content_of(1, 5000)).has_value()); // too late, harmless
}

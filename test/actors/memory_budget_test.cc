#include "actors/memory_budget.h"
#include "actors/result.h"
#include "test/rig.h"

#include <doctest/doctest.h>

#include <future>
#include <memory>
#include <optional>
#include <vector>

using namespace firstlight;
using namespace firstlight::test;

namespace {

using hold = memory_budget::hold;

task<result<hold>> take(memory_budget& of, std::uint64_t bytes, const lane* l) {
    const auto urgency = [l] { return *l; };
    auto held = co_await of.take(bytes, urgency);
    co_return std::move(held);
}

task<result<bool>> give_back(std::shared_ptr<hold> held) {
    *held = hold(); // on its shard
    co_return true;
}

task<result<std::size_t>> count_waiting(memory_budget& of) {
    co_return of.waiting();
}

task<result<bool>> look(memory_budget& at) {
    at.look_again();
    co_return true;
}

struct budget_rig : two_shards {
    memory_budget budget{1000};
    lane demand = lane::demand;
    lane prefetch = lane::prefetch;
    lane background = lane::background;

    using taken = std::shared_ptr<hold>;
    using pending = std::future<result<hold>>;

    pending ask(std::uint64_t bytes, const lane& l) {
        auto asked = start(a, take(budget, bytes, &l));
        (void)run(count_waiting(budget)); // it has got it by now, or is in the queue
        return asked;
    }
    taken get(pending& p) { return std::make_shared<hold>(std::move(p.get().value())); }
    taken get(std::uint64_t bytes, const lane& l) {
        auto asked = ask(bytes, l);
        return get(asked);
    }
    void back(taken& t) { CHECK(run(give_back(std::move(t))).value()); }
    std::size_t waiting() { return run(count_waiting(budget)).value(); }
};

} // namespace

TEST_CASE_FIXTURE(budget_rig, "at the limit the lower lanes wait and demand does not") {
    auto lower = get(500, background);
    auto second = ask(1, background);
    CHECK(waiting() == 1);
    auto ahead = get(250, prefetch); // its part is larger
    auto third = ask(1, prefetch);
    CHECK(waiting() == 2);
    auto read = get(250, demand);
    auto more = ask(1, demand);
    CHECK(waiting() == 3);

    back(lower);
    auto one = get(more);
    auto two = get(third);
    CHECK(waiting() == 1); // half of all is still taken, and the background's part is half
    back(read);
    back(ahead);
    auto three = get(second);
    CHECK(waiting() == 0);
    back(one);
    back(two);
    back(three);
    CHECK(budget.used() == 0);
}

TEST_CASE_FIXTURE(budget_rig, "who asks for more than there is gets it when all is free") {
    auto small = get(10, background);
    auto large = ask(5000, background);
    auto later = ask(10, background);
    CHECK(waiting() == 2); // nobody overtakes
    back(small);
    auto held = get(large);
    CHECK(waiting() == 1);
    back(held);
    auto last = get(later);
    back(last);
}

TEST_CASE_FIXTURE(budget_rig, "who is raised waits in his new lane") {
    auto most = get(600, background); // alone, so it may
    lane changing = lane::background;
    auto waits = ask(100, changing);
    auto behind = ask(100, background);
    CHECK(waiting() == 2);
    changing = lane::demand;
    CHECK(run(look(budget)).value());
    auto raised = get(waits);
    CHECK(waiting() == 1);
    back(most);
    auto last = get(behind);
    back(raised);
    back(last);
}

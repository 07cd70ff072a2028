#include "app/process_figures.h"

#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

namespace firstlight {

namespace {

// The fields of /proc/self/stat after the program's name, which may hold blanks and
// parentheses: element 0 is field 3 of proc(5).
std::vector<std::string> stat_fields() {
    std::ifstream in("/proc/self/stat");
    const std::string line{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
    const auto name_end = line.rfind(')');
    if (name_end == std::string::npos) {
        return {};
    }
    std::istringstream rest(line.substr(name_end + 1));
    return {std::istream_iterator<std::string>(rest), std::istream_iterator<std::string>()};
}

std::uint64_t count_fds() {
    std::error_code failed;
    std::filesystem::directory_iterator entries("/proc/self/fd", failed);
    std::uint64_t n = 0;
    for (; !failed && entries != std::filesystem::directory_iterator(); entries.increment(failed)) {
        ++n;
    }
    return n > 0 ? n - 1 : 0; // without the one that looks
}

} // namespace

process_figures process_figures::read() {
    process_figures p;
    const auto fields = stat_fields();
    const auto number = [&fields](std::size_t field) { // numbered as in proc(5)
        const auto i = field - 3;
        return i < fields.size() ? std::stoull(fields[i]) : 0ULL;
    };
    const auto ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
    p.cpu_seconds = static_cast<double>(number(14) + number(15)) / ticks;
    p.threads = number(20);
    p.virtual_bytes = number(23);
    p.resident_bytes = number(24) * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    p.open_fds = count_fds();
    rlimit fds{};
    if (::getrlimit(RLIMIT_NOFILE, &fds) == 0) {
        p.max_fds = fds.rlim_cur;
    }
    return p;
}

} // namespace firstlight

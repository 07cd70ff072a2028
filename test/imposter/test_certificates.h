#pragma once

#include <string>

namespace firstlight::test {

/// A new authority, a certificate from it for 127.0.0.1 and localhost, and one for a
/// client, "firstlight test client". PEM.
struct test_certificates {
    std::string ca;
    std::string certificate;
    std::string private_key;
    std::string client_certificate;
    std::string client_key;
};

/// Valid for a day. `authority` is the name of the one who has issued them.
test_certificates make_certificates(const char* authority = "firstlight test authority");

} // namespace firstlight::test

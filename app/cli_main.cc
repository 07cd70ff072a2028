// firstlight: the program beside the daemon.

#include "app/cli.h"

#include <exception>
#include <iostream>

int main(int argc, char** argv) {
    try {
        return firstlight::run_cli(argc, argv, std::cout, std::cerr);
    } catch (const std::exception& e) {
        std::cerr << "firstlight: " << e.what() << '\n';
        return 1;
    }
}

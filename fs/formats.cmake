find_package(RapidJSON REQUIRED)
pkg_check_modules(LIBDEFLATE REQUIRED IMPORTED_TARGET libdeflate)

# Parsers and what they make: no Asio, no coroutines, so that fuzzers build it with clang.
firstlight_library(fs_formats
  SOURCES
    digest_directory.cc
    estargz_footer.cc
    gunzip.cc
    index.cc
    index_compiler.cc
    index_store.cc
    profile_store.cc
    read_profile.cc
    replay_plan.cc
    toc_parser.cc
    toc_stream.cc
    toc_tree.cc
  HEADERS
    digest_directory.h
    estargz_footer.h
    gunzip.h
    gzip_member.h
    index.h
    index_compiler.h
    index_format.h
    index_store.h
    keyed_hash.h
    profile_store.h
    read_profile.h
    replay_plan.h
    toc_parser.h
    toc_stream.h
    toc_tree.h
  DEPS
    firstlight::values
  LIBS
    Boost::headers
    PkgConfig::LIBDEFLATE
    ZLIB::ZLIB)
target_include_directories(fs_formats SYSTEM PRIVATE ${RAPIDJSON_INCLUDE_DIRS})
if(FIRSTLIGHT_SANITIZE MATCHES "undefined")
  # RapidJSON 1.1 adds to the null pointer of its empty stack.
  set_source_files_properties(toc_parser.cc PROPERTIES COMPILE_OPTIONS -fno-sanitize=pointer-overflow)
endif()

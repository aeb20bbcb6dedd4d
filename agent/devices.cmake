# SPDX-License-Identifier: Apache-2.0
# The device core: drivers, their threads, consoles, files, plug-ins. jmp_builtin_drivers comes from the program.
add_library(jmp-devices STATIC
    worker.c keep.c instance.c tree.c device.c hotplug.c call.c call_driver.c fanout.c resource.c plugin.c
    fetch.c coder.c coder_gzip.c coder_xz.c coder_bz2.c coder_zstd.c)
target_link_libraries(jmp-devices PUBLIC jmp-base PkgConfig::SYSTEMD Threads::Threads ${CMAKE_DL_LIBS}
    PRIVATE PkgConfig::ZLIB PkgConfig::LZMA PkgConfig::ZSTD ${BZ2_LIBRARY} m)

if(JMP_BUILD_TESTS)
    add_library(jmp-device-bench STATIC device_bench.c device_double.c)
    target_link_libraries(jmp-device-bench PUBLIC jmp-devices jmp-test util)
    foreach(part call churn device fanout hold keep resource worker)
        jmp_test(agent-${part}-test ${part}_test.c LIBS jmp-device-bench)
    endforeach()
    jmp_test(agent-coder-test coder_test.c LIBS jmp-device-bench)
    jmp_test(agent-mux-test mux_test.c LIBS jmp-device-bench jmp-drivers)
    jmp_test(agent-call-child-test call_child_test.c LIBS jmp-device-bench)
    jmp_test(agent-fetch-test fetch_test.c LIBS jmp-device-bench)
    jmp_fuzz(agent-coder-fuzz coder_fuzz.c LIBS jmp-devices CORPUS ${CMAKE_SOURCE_DIR}/tests/corpus/coder)
endif()

include(${CMAKE_SOURCE_DIR}/cmake/driver-headers.cmake)

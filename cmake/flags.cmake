# SPDX-License-Identifier: Apache-2.0
# Warnings, hardening and sanitizers, for every target.
include(CheckCCompilerFlag)

add_compile_options(
    -Wall -Wextra -Wformat=2 -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition
    -Wpointer-arith -Wwrite-strings -Wundef -Wvla -Wnull-dereference -Wno-missing-field-initializers
    -Wno-unused-parameter -fno-common -fno-strict-aliasing)
add_compile_definitions(_GNU_SOURCE _FILE_OFFSET_BITS=64)
# Time goes on after 2038. No time_t, timeval or timespec may go to a library that is not libc: those of Debian 12 have 32 bits.
if(CMAKE_SIZEOF_VOID_P EQUAL 4)
    add_compile_definitions(_TIME_BITS=64)
endif()
if(JMP_WERROR)
    add_compile_options(-Werror)
endif()
include_directories(${CMAKE_SOURCE_DIR})

if(JMP_FUZZ)
    add_compile_options(-fsanitize=fuzzer-no-link)   # coverage of the libraries, which the fuzzer is guided by
endif()
if(JMP_SANITIZE)
    add_compile_options(-fsanitize=${JMP_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
    add_link_options(-fsanitize=${JMP_SANITIZE})
    # What gcc concludes from instrumented code is often wrong; the other builds have these warnings.
    foreach(guess maybe-uninitialized null-dereference stringop-overread stringop-overflow array-bounds)
        check_c_compiler_flag(-W${guess} JMP_HAS_WARNING_${guess})
        if(JMP_HAS_WARNING_${guess})
            add_compile_options(-Wno-${guess})
        endif()
    endforeach()
else()
    add_compile_options(-fstack-protector-strong -fstack-clash-protection)
    if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
        add_compile_options(-fcf-protection=full)
    elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
        add_compile_options(-mbranch-protection=standard)
    endif()
    if(NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
        add_compile_options(-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
    endif()
    add_link_options(-Wl,-z,relro,-z,now,-z,noexecstack)
endif()
add_link_options(-Wl,--as-needed)
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g")
set(CMAKE_C_FLAGS_RELEASE "-O2")

# Reproducible: no path of the build machine inside the binaries.
add_compile_options(-ffile-prefix-map=${CMAKE_SOURCE_DIR}/=)

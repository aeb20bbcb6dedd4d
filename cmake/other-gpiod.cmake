# SPDX-License-Identifier: Apache-2.0
# The other generation of libgpiod, for tests alone: what scripts/other-libgpiod has fetched, if it has. The build needs no
# network: without it there are no such targets, and the tests that want them say so.
if(NOT JMP_BUILD_TESTS OR JMP_FUZZ)
    return()
endif()
execute_process(COMMAND ${CMAKE_SOURCE_DIR}/scripts/other-libgpiod --cached
    OUTPUT_VARIABLE JMP_OTHER_GPIOD_ROOT OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(NOT JMP_OTHER_GPIOD_ROOT)
    return()
endif()
if(JMP_GPIOD_GENERATION EQUAL 1)
    set(JMP_OTHER_GPIOD_GENERATION 2)
else()
    set(JMP_OTHER_GPIOD_GENERATION 1)
endif()

# A build tree within this one: its programs have the names that tests look for, and the library lies beside them.
set(JMP_OTHER_GPIOD_TREE ${CMAKE_BINARY_DIR}/other-gpiod)
file(GLOB JMP_OTHER_GPIOD_LIBRARIES ${JMP_OTHER_GPIOD_ROOT}/usr/lib/*/libgpiod.so*)
file(COPY ${JMP_OTHER_GPIOD_LIBRARIES} DESTINATION ${JMP_OTHER_GPIOD_TREE}/agent)
foreach(room labd ctl tests)
    file(CREATE_LINK ${CMAKE_BINARY_DIR}/${room} ${JMP_OTHER_GPIOD_TREE}/${room} SYMBOLIC)
endforeach()

add_library(jmp-gpiod-other OBJECT ${CMAKE_SOURCE_DIR}/drivers/gpio/line_v${JMP_OTHER_GPIOD_GENERATION}.c)
target_include_directories(jmp-gpiod-other SYSTEM PRIVATE ${JMP_OTHER_GPIOD_ROOT}/usr/include)
target_link_libraries(jmp-gpiod-other PRIVATE jmp-base)

# jmp_other_gpiod(NAME FILE.c...): a program whose lines go through the other generation. Its object comes before the
# library of all drivers, so that the back end in there is not looked at.
function(jmp_other_gpiod name)
    add_executable(${name} ${ARGN} $<TARGET_OBJECTS:jmp-gpiod-other>)
    target_link_libraries(${name} PRIVATE ${JMP_OTHER_GPIOD_TREE}/agent/libgpiod.so)
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${JMP_OTHER_GPIOD_TREE}/agent
        BUILD_RPATH "\$ORIGIN" BUILD_RPATH_USE_ORIGIN ON ENABLE_EXPORTS ON)
endfunction()

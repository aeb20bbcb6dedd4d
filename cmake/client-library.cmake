# SPDX-License-Identifier: Apache-2.0
# What a program of one's own is built with that takes leases and uses drivers: one archive of client/, the floors below it
# and config/, the headers under their room names, and jumpstarter-client.pc. An archive, since the functions may change with
# every version until 1.0.
set(CMAKE_INSTALL_DEFAULT_COMPONENT_NAME client-library)

add_library(jmp-client-archive STATIC
    $<TARGET_OBJECTS:jmp-client> $<TARGET_OBJECTS:jmp-config> $<TARGET_OBJECTS:jmp-rpc> $<TARGET_OBJECTS:jmp-proto>
    $<TARGET_OBJECTS:jmp-base>)
set_target_properties(jmp-client-archive PROPERTIES LINKER_LANGUAGE C OUTPUT_NAME jmp-client
    ARCHIVE_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/archive)
install(TARGETS jmp-client-archive ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})

foreach(header base/cleanup.h base/error.h base/json.h base/limits.h base/loop.h base/node.h base/writer.h
        rpc/channel.h rpc/pump.h rpc/queue.h rpc/rpc.h rpc/status.h config/client_config.h config/yaml.h
        client/acquire.h client/client.h client/controller_client.h client/dial.h client/dump.h client/multipath.h
        client/objects.h client/resource_client.h client/selector.h client/session_client.h client/tree.h)
    get_filename_component(room ${header} DIRECTORY)
    install(FILES ${CMAKE_SOURCE_DIR}/${header} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/jumpstarter/${room})
endforeach()

# Found from where the file lies, so that a tree installed elsewhere works too.
file(RELATIVE_PATH JMP_PC_TO_PREFIX ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
configure_file(${CMAKE_SOURCE_DIR}/cmake/jumpstarter-client.pc.in ${CMAKE_BINARY_DIR}/jumpstarter-client.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/jumpstarter-client.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(FILES ${CMAKE_SOURCE_DIR}/docs/client-library.md DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/libjmp-dev)
install(FILES ${CMAKE_SOURCE_DIR}/tests/library/example/Makefile ${CMAKE_SOURCE_DIR}/tests/library/example/board.c
    DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/libjmp-dev/examples/board)

# SPDX-License-Identifier: Apache-2.0
# jmp_protobuf(TARGET FILE.proto...): generated C as a static library, never part of the source tree.
# The well-known types are generated too: libprotobuf-c ships none. A method named Register becomes a member named
# "register", which C reserves: it gets an underscore.
function(jmp_protobuf target)
    set(out ${CMAKE_CURRENT_BINARY_DIR}/gen)
    find_path(WELL_KNOWN_PROTOS google/protobuf/struct.proto REQUIRED)
    set(protos ${ARGN} google/protobuf/struct.proto google/protobuf/timestamp.proto google/protobuf/duration.proto
        google/protobuf/empty.proto google/protobuf/field_mask.proto)
    set(sources)
    foreach(proto ${protos})
        string(REPLACE ".proto" ".pb-c" stem ${proto})
        if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${proto})
            set(input ${CMAKE_CURRENT_SOURCE_DIR}/${proto})
        else()
            set(input ${WELL_KNOWN_PROTOS}/${proto})
        endif()
        add_custom_command(
            OUTPUT ${out}/${stem}.c ${out}/${stem}.h
            COMMAND ${CMAKE_COMMAND} -E make_directory ${out}
            COMMAND ${PROTOC_C} -I${CMAKE_CURRENT_SOURCE_DIR} -I${WELL_KNOWN_PROTOS} --c_out=${out} ${proto}
            COMMAND sed -i "s/(\\*register)(/(*register_)(/" ${out}/${stem}.h
            DEPENDS ${input} VERBATIM)
        list(APPEND sources ${out}/${stem}.c)
    endforeach()
    add_library(${target} STATIC ${sources})
    target_include_directories(${target} SYSTEM PUBLIC ${out})
    target_compile_options(${target} PRIVATE -w)
    target_link_libraries(${target} PUBLIC PkgConfig::PROTOBUF_C)
endfunction()

# SPDX-License-Identifier: Apache-2.0
# What a plug-in is compiled with: the headers under their room names, and jumpstarter-driver.pc.
foreach(header base/cleanup.h base/error.h base/limits.h base/log.h base/node.h base/option.h base/writer.h drivers/driver.h)
    get_filename_component(room ${header} DIRECTORY)
    install(FILES ${CMAKE_SOURCE_DIR}/${header} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/jumpstarter/${room}
        COMPONENT driver-headers)
endforeach()

# Found from where the file lies, so that a tree installed elsewhere works too.
file(RELATIVE_PATH JMP_PC_TO_PREFIX ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
configure_file(${CMAKE_SOURCE_DIR}/cmake/jumpstarter-driver.pc.in ${CMAKE_BINARY_DIR}/jumpstarter-driver.pc @ONLY)
install(FILES ${CMAKE_SOURCE_DIR}/tests/plugins/example/thermometer.c ${CMAKE_SOURCE_DIR}/tests/plugins/example/Makefile
    DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/libjmp-dev/examples COMPONENT driver-headers)
install(FILES ${CMAKE_BINARY_DIR}/jumpstarter-driver.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig
    COMPONENT driver-headers)

# SPDX-License-Identifier: Apache-2.0
# Storage and flashing: more than mock.c. Paths are those of drivers/.
target_sources(jmp-drivers PRIVATE
    storage/bmap.c storage/disk.c storage/dutlink.c storage/gadget.c storage/generic.c storage/guard.c storage/hash.c storage/image.c
    storage/io.c storage/medium.c storage/mux.c storage/sdwire.c storage/stick.c)
target_link_libraries(jmp-drivers PRIVATE PkgConfig::EXPAT PkgConfig::LIBUSB PkgConfig::OPENSSL)

driver_test(drivers-disk-test storage/disk_test.c)
driver_test(drivers-dutlink-test storage/dutlink_test.c)
driver_test(drivers-gadget-test storage/gadget_test.c)
driver_test(drivers-hash-test storage/hash_test.c)
driver_test(drivers-io-test storage/io_test.c)
driver_test(drivers-image-test storage/image_test.c)
driver_test(drivers-sdwire-test storage/sdwire_test.c usb/tree_double.c)

jmp_fuzz(drivers-image-fuzz storage/image_fuzz.c LIBS jmp-drivers jmp-base CORPUS ${CMAKE_SOURCE_DIR}/tests/corpus/image)

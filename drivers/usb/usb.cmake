# SPDX-License-Identifier: Apache-2.0
target_sources(jmp-drivers PRIVATE
    usb/config.c usb/ctl.c usb/device.c usb/find.c usb/handle.c usb/hidraw.c usb/hub.c usb/port.c usb/redir.c
    usb/redir_filter.c usb/relay_hid.c usb/relay_proto.c serial/relay.c usb/usbip.c usb/usbip_describe.c
    usb/usbip_urbs.c usb/ykush.c)

# Both ends: the driver, and jmpctl, which needs no other driver.
add_library(jmp-usbip STATIC usb/usbip_proto.c usb/usbip_input.c)
target_link_libraries(jmp-drivers PUBLIC jmp-usbip PRIVATE PkgConfig::LIBUSB PkgConfig::USBREDIRHOST)

jmp_test(drivers-usbip-proto-test usb/usbip_proto_test.c LIBS jmp-usbip jmp-base)
jmp_test(drivers-usbip-input-test usb/usbip_input_test.c LIBS jmp-usbip jmp-base)
jmp_fuzz(drivers-usbip-fuzz usb/usbip_fuzz.c LIBS jmp-usbip CORPUS ${CMAKE_SOURCE_DIR}/tests/corpus/usbip)
driver_test(drivers-usb-config-test usb/config_test.c)
jmp_fuzz(drivers-usb-config-fuzz usb/config_fuzz.c LIBS jmp-drivers jmp-base
    CORPUS ${CMAKE_SOURCE_DIR}/tests/corpus/usb-config)
driver_test(drivers-relay-test usb/relay_test.c)
if(TARGET drivers-relay-test)
    target_link_libraries(drivers-relay-test PRIVATE util)
endif()
driver_test(drivers-usb-device-test usb/device_test.c)
driver_test(drivers-usbredir-filter-test usb/redir_filter_test.c)
driver_test(drivers-usb-find-test usb/find_test.c usb/tree_double.c)
jmp_fuzz(drivers-usbredir-filter-fuzz usb/redir_filter_fuzz.c LIBS jmp-drivers jmp-base
    CORPUS ${CMAKE_SOURCE_DIR}/tests/corpus/usbredir-filter)

# SPDX-License-Identifier: Apache-2.0
# Boot loaders and debug probes of microcontrollers. Paths are those of drivers/.
target_sources(jmp-drivers PRIVATE mcu/pico.c mcu/picoboot.c mcu/stlink.c mcu/uf2.c mcu/volume.c)

driver_test(drivers-mcu-test mcu/mcu_test.c)
jmp_fuzz(drivers-uf2-fuzz mcu/uf2_fuzz.c LIBS jmp-drivers jmp-base CORPUS ${CMAKE_SOURCE_DIR}/tests/corpus/uf2)

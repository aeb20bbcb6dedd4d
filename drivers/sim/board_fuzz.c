/* SPDX-License-Identifier: Apache-2.0 */
/* Anything typed at the simulated board at any time: 0xff lets time pass, 0xfe works the power switch, 0xfd reads the
 * console. */
#include "drivers/sim/machine.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fetch(struct jmp_sim_board *board, size_t most)
{
    const char *text;
    size_t length = jmp_sim_board_output(board, &text);

    jmp_sim_board_fetched(board, length < most ? length : most);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct jmp_sim_settings settings = { .hostname = "fuzz", .boot = JMP_USEC_PER_SEC };
    _cleanup_(jmp_sim_board_freep) struct jmp_sim_board *board = NULL;
    uint64_t now = JMP_USEC_PER_SEC;

    if (size > 0 && data[0] & 1)
        settings.password = "abc";
    if (jmp_sim_board_new(&settings, &board) < 0)
        return 0;

    for (size_t i = 1; i < size; i++) {
        const char byte = (char)data[i];

        if (data[i] == 0xff)
            now += 700 * JMP_USEC_PER_MSEC;
        else if (data[i] == 0xfe)
            jmp_sim_board_power(board, board->state == SIM_OFF, now);
        else if (data[i] == 0xfd)
            fetch(board, i % 2 ? SIM_OUTPUT_SIZE : 100);
        else if (jmp_sim_board_input(board, &byte, 1, now) == 0)
            fetch(board, SIM_OUTPUT_SIZE);
        jmp_sim_board_run(board, now);

        /* Nothing may ever be dropped for want of room. */
        if (board->output_end >= SIM_OUTPUT_SIZE || board->output_begin > board->output_end ||
            board->length >= SIM_LINE_MAX || board->ahead_end > SIM_AHEAD_MAX || board->ahead_begin > board->ahead_end)
            abort();
    }

    return 0;
}

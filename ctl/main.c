/* SPDX-License-Identifier: Apache-2.0 */
/* jmpctl: reserve a board, and use it. */
#include "ctl/ctl.h"

int main(int argc, char **argv)
{
    return jmp_ctl_main(argc, argv);
}

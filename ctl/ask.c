/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/ask.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <termios.h>
#include <unistd.h>

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal)
{
    interrupted = signal;
}

bool jmp_ask_possible(void)
{
    return isatty(STDIN_FILENO);
}

static char *read_hidden(char *answer, size_t size)
{
    const struct sigaction action = { .sa_handler = on_interrupt };
    struct termios shown, mute;
    struct sigaction before;
    char *read;

    if (tcgetattr(STDIN_FILENO, &shown) < 0)
        return fgets(answer, (int)size, stdin);
    mute = shown;
    mute.c_lflag &= ~(tcflag_t)ECHO;
    sigaction(SIGINT, &action, &before);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &mute);
    read = fgets(answer, (int)size, stdin);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
    sigaction(SIGINT, &before, NULL);
    fputc('\n', stderr);
    if (interrupted)
        raise(interrupted);
    return read;
}

/* A loop that listens to signals keeps them blocked; while nobody runs it, they shall end us as they end any
 * program. */
static char *read_line(char *answer, size_t size, bool hidden)
{
    sigset_t ending, before;
    char *read;

    sigemptyset(&ending);
    sigaddset(&ending, SIGINT);
    sigaddset(&ending, SIGTERM);
    sigaddset(&ending, SIGHUP);
    sigprocmask(SIG_UNBLOCK, &ending, &before);
    read = hidden ? read_hidden(answer, size) : fgets(answer, (int)size, stdin);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return read;
}

/* @ret: NULL when nothing was said. Return: false: nobody will say anything. */
static bool ask(const char *question, bool hidden, char **ret)
{
    char answer[JMP_ASK_MAX] = "";
    bool said;

    *ret = NULL;
    if (!jmp_ask_possible())
        return false;
    fflush(stdout); /* what was printed before belongs before it on the terminal */
    fprintf(stderr, "%s: ", question);
    said = read_line(answer, sizeof(answer), hidden) != NULL;
    if (!said && !hidden)
        fputc('\n', stderr);
    answer[strcspn(answer, "\r\n")] = '\0';
    if (said && *answer)
        *ret = strdup(answer);
    explicit_bzero(answer, sizeof(answer));
    return said;
}

char *jmp_ask(const char *question, bool hidden)
{
    char *answer;

    ask(question, hidden, &answer);
    return answer;
}

bool jmp_confirm(const char *question)
{
    char words[256];

    snprintf(words, sizeof(words), "%s [y/N]", question);
    for (;;) {
        _cleanup_free_ char *answer = NULL;

        if (!ask(words, false, &answer) || !answer)
            return false;
        if (strcasecmp(answer, "y") == 0 || strcasecmp(answer, "yes") == 0)
            return true;
        if (strcasecmp(answer, "n") == 0 || strcasecmp(answer, "no") == 0)
            return false;
        fputs("Error: invalid input\n", stderr);
    }
}

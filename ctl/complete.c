/* SPDX-License-Identifier: Apache-2.0 */
/* Completion: the scripts only ask "jmpctl complete WORDS...", the last of which is being typed. */
#include <signal.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "config/paths.h"
#include "ctl/ctl.h"
#include "ctl/kube.h"
#include "ctl/verbs.h"

#define ANSWER_TIMEOUT 2u   /* seconds */

struct completion {
    struct jmp_ctl *ctl;
    char **words;            /* before the last */
    const char *last;
};

/* One word to choose from; what a shell would take apart or a terminal act on is left out. */
static void offer(const struct completion *completion, const char *word)
{
    if (strncmp(word, completion->last, strlen(completion->last)) != 0)
        return;
    for (const char *c = word; *c; c++) {
        if ((unsigned char)*c <= ' ' || *c == 0x7f || strchr("'\"`$\\;&|<>(){}*?!", *c))
            return;
    }
    puts(word);
}

static void offer_options(const struct completion *completion, const struct jmp_option *options)
{
    for (; options->key; options++) {
        char name[64];

        snprintf(name, sizeof(name), "--%s", options->key);
        for (char *c = name; *c; c++) {
            if (*c == '_')
                *c = '-';
        }
        offer(completion, name);
    }
}

static const struct jmp_option *find_option(const struct jmp_option *options, const char *word)
{
    for (; options->key; options++) {
        const char *key = options->key, *c = word + 2;

        if (word[0] == '-' && word[1] == options->letter && !word[2] && options->letter)
            return options;
        if (strncmp(word, "--", 2) != 0)
            continue;
        while (*key && (*key == *c || (*key == '_' && *c == '-'))) {
            key++;
            c++;
        }
        if (!*key && !*c)
            return options;
    }
    return NULL;
}

static void offer_exporters(const struct completion *completion)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    struct jmp_exporters exporters;

    if (jmp_tree_new(0, &tree) < 0 || jmp_ctl_need_controller(completion->ctl, NULL) < 0 ||
        jmp_controller_client_exporters(completion->ctl->controller, NULL, tree, &exporters, NULL) < 0)
        return;
    for (size_t i = 0; i < exporters.count; i++)
        offer(completion, exporters.items[i].name);
}

static void offer_leases(const struct completion *completion)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    struct jmp_leases leases;

    if (jmp_tree_new(0, &tree) < 0 || jmp_ctl_need_controller(completion->ctl, NULL) < 0 ||
        jmp_controller_client_leases(completion->ctl->controller, NULL, tree, &leases, NULL) < 0)
        return;
    for (size_t i = 0; i < leases.count; i++) {
        if (strcmp(leases.items[i].client, completion->ctl->config->name) == 0)
            offer(completion, leases.items[i].name);
    }
}

static void offer_aliases(const struct completion *completion, bool exporters)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    const struct jmp_node *aliases;

    if (jmp_tree_new(0, &tree) < 0 || jmp_paths_aliases(exporters, tree, &aliases, NULL) < 0)
        return;
    JMP_NODE_EACH(alias, aliases)
        offer(completion, alias->string);
}

/* Objects as an administrator has them, of the cluster and namespace that the words before say. */
static void offer_objects(const struct completion *completion, enum jmp_kube_kind kind)
{
    const struct jmp_kube_kind_name *name = jmp_kube_kind_name(kind);
    struct jmp_kube_options options = { .namespace_ = "default" };
    struct jmp_ctl_kube kube = { 0 };
    json_t *list = NULL, *item;
    size_t i;

    for (char **word = completion->words; *word && word[1]; word++) {
        if (strcmp(*word, "--kubeconfig") == 0)
            options.kubeconfig = word[1];
        else if (strcmp(*word, "--context") == 0)
            options.context = word[1];
        else if (strcmp(*word, "--namespace") == 0 || strcmp(*word, "-n") == 0)
            options.namespace_ = word[1];
    }
    if (jmp_ctl_kube_open(&kube, &options, NULL) == 0 &&
        jmp_ctl_ask_object(&kube, "GET", name->group, name->version, options.namespace_, name->plural, NULL, NULL,
                           &list, NULL) == 0) {
        json_array_foreach(json_object_get(list, "items"), i, item) {
            const char *own = json_string_value(json_object_get(json_object_get(item, "metadata"), "name"));

            if (own)
                offer(completion, own);
        }
    }
    json_decref(list);
    jmp_ctl_kube_close(&kube);
}

/* The word behind an option. */
static void offer_value(const struct completion *completion, const struct jmp_option *option)
{
    for (const char *const *word = option->words; word && *word; word++)
        offer(completion, *word);
    if (strcmp(option->key, "name") == 0)
        offer_exporters(completion);
    else if (strcmp(option->key, "lease") == 0)
        offer_leases(completion);
    else if (strcmp(option->key, "client") == 0)
        offer_aliases(completion, false);
    else if (strcmp(option->key, "with") == 0) {
        offer(completion, "leases");
        offer(completion, "online");
        offer(completion, "status");
    }
}

static void offer_driver(const struct completion *completion, char **words)
{
    struct jmp_ctl *ctl = completion->ctl;
    const struct jmp_verb *verb;
    struct jmp_driver_ref *ref;
    unsigned used = 0;

    if (jmp_ctl_need_session(ctl, NULL) < 0)
        return;
    ref = ctl->drivers->root;
    if (words[0] && jmp_driver_tree_find(ctl->drivers, words, &ref, &used, NULL) < 0)
        return;
    words += used;
    if (!words[0]) {
        for (struct jmp_driver_ref *child = ref->first; child; child = child->next)
            offer(completion, child->name);
        for (verb = jmp_verbs; used > 0 && verb->name; verb++) {
            if (verb->families & jmp_verbs_of(ref))
                offer(completion, verb->name);
        }
        return;
    }
    if (jmp_verb_find(ref, words[0], &verb, NULL) < 0)
        return;
    while (words[1])
        words++;
    if (find_option(verb->options, words[0]) && find_option(verb->options, words[0])->type != JMP_BOOL)
        offer_value(completion, find_option(verb->options, words[0]));
    else if (*completion->last == '-')
        offer_options(completion, verb->options);
    else if (strcmp(verb->name, "wait-for-edge") == 0) {
        offer(completion, "rising");
        offer(completion, "falling");
    }
}

static void offer_first(const struct completion *completion)
{
    const char *before = "";

    for (const struct jmp_command *command = jmp_commands; command->name; command++) {
        size_t length = strcspn(command->name, " ");
        char word[32];

        snprintf(word, sizeof(word), "%.*s", (int)length, command->name);
        if (!command->hidden && strcmp(word, before) != 0)
            offer(completion, word);
        before = strchr(command->name, ' ') ? strndupa(word, length) : "";
    }
    offer_driver(completion, (char *[]){ NULL });
}

static void offer_word(const char *word, void *user) { offer(user, word); }

static void offer_argument(const struct completion *completion, const struct jmp_command *command, char **words)
{
    switch (command->word) {
    case JMP_WORD_EXPORTER:
        offer_exporters(completion);
        break;
    case JMP_WORD_LEASE:
        offer_leases(completion);
        break;
    case JMP_WORD_DRIVER:
        offer_driver(completion, words);
        break;
    case JMP_WORD_SHELL:
        offer(completion, "bash");
        offer(completion, "zsh");
        offer(completion, "fish");
        break;
    case JMP_WORD_CLIENT_CONFIG:
    case JMP_WORD_EXPORTER_CONFIG:
        offer_aliases(completion, command->word == JMP_WORD_EXPORTER_CONFIG);
        break;
    case JMP_WORD_ADMIN_CLIENT:
        offer_objects(completion, JMP_KUBE_CLIENT);
        break;
    case JMP_WORD_ADMIN_EXPORTER:
        offer_objects(completion, JMP_KUBE_EXPORTER);
        break;
    case JMP_WORD_ADMIN_LEASE:
        offer_objects(completion, JMP_KUBE_LEASE);
        break;
    case JMP_WORD_COMMAND:
    case JMP_WORD_NONE:
        break;
    }
}

/* Which client and lease the names are of, wherever it was said. */
static void take_options(struct jmp_ctl *ctl, char **words)
{
    for (; words[0] && words[1]; words++) {
        if (strcmp(words[0], "--lease") == 0)
            ctl->options.lease = words[1];
        else if (strcmp(words[0], "--client") == 0)
            ctl->options.client = words[1];
        else if (strcmp(words[0], "--client-config") == 0)
            ctl->options.client_config = words[1];
    }
}

static void on_alarm(int signal) { _exit(0); }

int jmp_cmd_complete(struct jmp_ctl *ctl, void *object, char **words, struct jmp_error *reterr)
{
    struct completion completion = { .ctl = ctl, .words = words, .last = "" };
    const struct jmp_command *command = NULL;
    const struct jmp_option *option;
    unsigned n = 0, used = 0, at = 0;
    int r;

    ctl->quiet = true;
    /* Whoever types does not wait for a controller that is away. */
    signal(SIGALRM, on_alarm);
    alarm(ANSWER_TIMEOUT);
    while (words[n])
        n++;
    if (n > 0) {
        completion.last = words[n - 1];
        words[n - 1] = NULL;
        n--;
    }

    take_options(ctl, words);

    /* Options before the command. */
    while (words[at] && words[at][0] == '-') {
        option = find_option(jmp_global_options, words[at]);
        if (option && option->type != JMP_BOOL) {
            if (!words[at + 1]) {
                offer_value(&completion, option);
                return 0;
            }
            at++;
        }
        at++;
    }
    words += at;
    if (!words[0]) {
        if (*completion.last == '-')
            offer_options(&completion, jmp_global_options);
        else
            offer_first(&completion);
        return 0;
    }

    r = jmp_command_find(words, &command, &used, NULL);
    if (r == -ENOENT) {
        offer_driver(&completion, words);
        return 0;
    }
    if (r < 0) {
        jmp_command_following(words, offer_word, &completion);
        return 0;
    }
    words += used;
    n = 0;
    while (words[n])
        n++;
    option = n > 0 ? find_option(command->options, words[n - 1]) : NULL;
    if (option && option->type != JMP_BOOL)
        offer_value(&completion, option);
    else if (*completion.last == '-')
        offer_options(&completion, command->options);
    else
        offer_argument(&completion, command, words);
    return 0;
}

static const char bash_script[] =
    "# SPDX-License-Identifier: Apache-2.0\n"
    "# bash completion for jmpctl, as \"jmpctl completion bash\" prints it\n"
    "_jmpctl() {\n"
    "    mapfile -t COMPREPLY < <(jmpctl complete \"${COMP_WORDS[@]:1:COMP_CWORD}\" 2>/dev/null)\n"
    "}\n"
    "complete -o default -F _jmpctl jmpctl\n";

/* Read by "source <(...)", it registers itself; found in $fpath, it is the body of the function and runs. */
static const char zsh_script[] =
    "#compdef jmpctl\n"
    "# SPDX-License-Identifier: Apache-2.0\n"
    "# zsh completion for jmpctl, as \"jmpctl completion zsh\" prints it\n"
    "_jmpctl() {\n"
    "    local -a answers\n"
    "    answers=(\"${(@f)$(jmpctl complete \"${(@)words[2,$CURRENT]}\" 2>/dev/null)}\")\n"
    "    if [[ -n \"${answers[1]}\" ]]; then compadd -- \"${answers[@]}\"; else _files; fi\n"
    "}\n"
    "if [[ \"${funcstack[1]}\" == _jmpctl ]]; then _jmpctl \"$@\"; else compdef _jmpctl jmpctl; fi\n";

static const char fish_script[] =
    "# SPDX-License-Identifier: Apache-2.0\n"
    "# fish completion for jmpctl, as \"jmpctl completion fish\" prints it\n"
    "function __jmpctl_complete\n"
    "    set -l words (commandline -opc) (commandline -ct)\n"
    "    jmpctl complete $words[2..-1] 2>/dev/null\n"
    "end\n"
    "complete -c jmpctl -a '(__jmpctl_complete)'\n";

const char *jmp_completion_script(const char *shell)
{
    static const struct {
        const char *shell, *script;
    } scripts[] = { { "bash", bash_script }, { "zsh", zsh_script }, { "fish", fish_script } };

    for (size_t i = 0; i < ELEMENTSOF(scripts); i++) {
        if (strcmp(scripts[i].shell, shell) == 0)
            return scripts[i].script;
    }
    return NULL;
}

int jmp_cmd_completion(struct jmp_ctl *ctl, void *object, char **words, struct jmp_error *reterr)
{
    const char *script = jmp_completion_script(words[0]);

    if (!script)
        return jmp_ctl_usage(ctl, reterr, "\"%s\" is none of bash, zsh, fish", words[0]);
    fputs(script, stdout);
    return 0;
}

int jmp_cmd_manual(struct jmp_ctl *ctl, void *object, char **words, struct jmp_error *reterr)
{
    jmp_command_manual(stdout);
    return 0;
}

static const char *const version_words[] = { "table", "json", "yaml", NULL };

const struct jmp_option jmp_version_options[] = { { JMP_FIELD(struct jmp_version, output), .letter = 'o',
                                                    .value_name = "FORMAT", .words = version_words, .preset = "table",
                                                    .help = "how to print" },
                                                  JMP_CTL_HELP_OPTION,
                                                  {} };

/* @object: NULL: --version */
int jmp_cmd_version(struct jmp_ctl *ctl, void *object, char **words, struct jmp_error *reterr)
{
    static const char document[] = "{\"gitVersion\":\"" JMP_VERSION "\"}";   /* the member that the stock client has */
    const struct jmp_version *options = object;
    enum jmp_output output = options ? jmp_output_parse(options->output) : JMP_OUTPUT_TABLE;
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    const struct jmp_node *node;
    int r;

    if (output == JMP_OUTPUT_TABLE) {
        puts("jmpctl " JMP_VERSION);
        return 0;
    }
    r = jmp_tree_new(0, &tree);
    if (r == 0)
        r = jmp_json_parse(document, strlen(document), tree, &node, NULL);
    return r < 0 ? jmp_error_set(reterr, r, "%m") : jmp_output_document(stdout, output, node, reterr);
}

int jmp_cmd_help(struct jmp_ctl *ctl, void *object, char **words, struct jmp_error *reterr)
{
    const struct jmp_command *command;
    unsigned used;
    int r;

    if (!words[0]) {
        jmp_command_overview(stdout);
        return 0;
    }
    r = jmp_command_find(words, &command, &used, reterr);
    if (r == 0) {
        jmp_command_help(stdout, command);
        return 0;
    }
    if (!words[1] && jmp_command_group(stdout, words[0]))
        return 0;
    ctl->usage = true;
    if (r == -ENOENT) {
        jmp_error_set(reterr, r, "\"%s\" is not a command", words[0]);
        jmp_error_hint(reterr, "\"jmpctl help\" lists them; for a driver, \"jmpctl %s --help\"", words[0]);
    }
    return r;
}

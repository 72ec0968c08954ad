// What cc1 compiles in the benchmark: forty lines with loops, a structure, recursion and a switch.
struct node {
    struct node *left, *right;
    long key, weight;
};

static long depth(const struct node *n) {
    if (!n) return 0;
    long l = depth(n->left), r = depth(n->right);
    return 1 + (l > r ? l : r);
}

struct node *insert(struct node *root, struct node *fresh) {
    struct node **at = &root;
    while (*at) at = fresh->key < (*at)->key ? &(*at)->left : &(*at)->right;
    *at = fresh;
    return root;
}

long evaluate(const char *text) {
    long stack[32], top = 0;
    for (; *text; text++) {
        switch (*text) {
        case '+': top--; stack[top - 1] += stack[top]; break;
        case '-': top--; stack[top - 1] -= stack[top]; break;
        case '*': top--; stack[top - 1] *= stack[top]; break;
        case '/': top--; stack[top - 1] /= stack[top] ? stack[top] : 1; break;
        default:
            if (*text >= '0' && *text <= '9') stack[top++] = *text - '0';
        }
    }
    return top ? stack[top - 1] : 0;
}

void smooth(float *out, const float *in, int count) {
    for (int i = 1; i + 1 < count; i++) out[i] = (in[i - 1] + 2 * in[i] + in[i + 1]) / 4;
}

long measure(const struct node *root) {
    return depth(root) * 2 + (root ? root->weight : 0);
}

// Multiplies two matrices of 512 by 512 doubles, the textbook way: strided loads and floating point.
#include <stdio.h>

enum { SIDE = 512 };
static double a[SIDE][SIDE], b[SIDE][SIDE], c[SIDE][SIDE];

int main(void) {
    for (int i = 0; i < SIDE; i++)
        for (int j = 0; j < SIDE; j++) {
            a[i][j] = (i * 7 + j) % 13;
            b[i][j] = (i + j * 5) % 11;
        }
    for (int i = 0; i < SIDE; i++)
        for (int j = 0; j < SIDE; j++) {
            double sum = 0;
            for (int k = 0; k < SIDE; k++) sum += a[i][k] * b[k][j];
            c[i][j] = sum;
        }
    double trace = 0;
    for (int i = 0; i < SIDE; i++) trace += c[i][i];
    printf("%.0f\n", trace);
}

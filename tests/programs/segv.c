/* A store to address 0: the line after it is never reached. */
#include <stdio.h>

int main(void)
{
    volatile int *volatile nowhere = NULL;

    puts("before invalid access");
    *nowhere = 0;
    puts("after invalid access");
    return 0;
}

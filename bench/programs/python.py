# Recursion and a dictionary: the interpreter's loop, its calls and its allocator.
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


counts = {}
for i in range(200_000):
    key = i * 2654435761 % 1009
    counts[key] = counts.get(key, 0) + 1
print(fib(25), len(counts), max(counts.values()))

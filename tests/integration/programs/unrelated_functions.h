// What libraries may well call their functions.
#pragma once

int cfree(const char* text, int a, int b, double c);
int free_sized(const char* text, int a, int b, int c);
int free_aligned_sized(const char* text, int a, int b, int c, double d);

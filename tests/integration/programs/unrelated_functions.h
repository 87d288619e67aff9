// What libraries may well call their functions.
#pragma once

int cfree(const char* text, int a, int b, double c);
int free_sized(const char* text, int a, int b, int c);
int free_aligned_sized(const char* text, int a, int b, int c, double d);
const char* signal(const char* text, double a, const char* end);
const char* sigset(const char* text, const char* end, int a);
const char* raise(const char* text, int a);
const char* abort(const char* text, int a);

// See operator_fixture.cpp.
int main() {
  delete new int(1);
  return 0;
}

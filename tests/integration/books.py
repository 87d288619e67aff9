"""What holds for the answer of `heapledger fragmentation`, and of `ledger`, whatever the program and its allocator."""
from harness import analyze


def fragmentation(trace, *options):
    return analyze("fragmentation", trace, options=options)


def check_books(test, answer):
    """Every resident byte in one account, and every stranded one charged."""
    for grain in (answer["page_4k"], answer["page_2m"]):
        parts = sum(grain[name] for name in ("live", "slack", "metadata", "stranded", "held", "trimmable"))
        test.assertEqual(parts, grain["resident"])
        test.assertEqual(sum(grain["occupancy"]), grain["pinned_pages"])
        test.assertLessEqual(grain["top"], grain["trimmable"])
    test.assertEqual(answer["page_4k"]["resident"], answer["page_2m"]["resident"])
    test.assertEqual(sum(entry["stranded_bytes"] for entry in answer["blame"]), answer["page_4k"]["stranded"])
    for entry in answer["blame"]:
        test.assertEqual(entry["exclusive_bytes"] + entry["shared_bytes"], entry["stranded_bytes"])
    test.assertGreater(max(point["footprint_bytes"] for point in answer["timeline"]), 0)


def check_ledger(test, trace, *options):
    """The ledger, if its accounts add up to the kernel's sum of Rss and each account's owners to it."""
    ledger = analyze("ledger", trace, options=options)
    test.assertTrue(ledger["consistent"], "the process did not stand still")
    test.assertEqual(sum(account["bytes"] for account in ledger["accounts"]), ledger["rss"])
    test.assertEqual(ledger["adjusted"], 0)
    for account in ledger["accounts"]:
        test.assertEqual(sum(owner["bytes"] for owner in account["owners"]), account["bytes"], account["account"])
    for point in ledger["course"]:
        test.assertEqual(sum(point["accounts"].values()), point["rss"])
    # The map of that sample is the kernel's own sum.
    test.assertIn(ledger["rss"], [sample["rss"] for sample in analyze("map", trace)["samples"]])
    return ledger

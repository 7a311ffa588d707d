"""P5."""


def test_a_job(house):
    worker = house.worker()
    job = house.add("app:work", {"value": 3})
    assert house.result(job) == 3
    assert worker.terminate() == 0


def test_one_child(house):
    house.worker(children=1)
    jobs = house.add_all(
        [house.row("app:die") for _ in range(2)] + [house.row("app:work", {"value": i}) for i in range(50)]
    )
    print([house.ended(j).state for j in jobs])
    print(house.job(jobs[0]))
    assert house.job(jobs[0]).reason == "poison"

from kinetics_clips.read import shuffling


def test_draws_depend_on_key_and_video_alone():
    def draw(key, video_id):
        return shuffling.generator(key, video_id).integers(1 << 60)

    assert draw(3, b"a") == draw(3, b"a")
    keys = [shuffling.epoch_key(seed, epoch) for seed in range(9) for epoch in range(9)]
    assert len(set(keys)) == 81
    assert all(isinstance(key, int) and 0 <= key < 1 << 63 for key in keys)
    draws = {draw(key, video_id) for key in keys for video_id in (b"a", b"b", b"")}
    assert len(draws) == 243
    # These are kept: an epoch that was interrupted goes on after an update.
    assert shuffling.epoch_key(0, 0) == 7340887938999116165
    assert draw(3, b"a") == 749718219763052065


def test_order_is_a_permutation():
    order = shuffling.order(5, 1000)
    assert sorted(order) == list(range(1000))
    assert (order == shuffling.order(5, 1000)).all()
    assert (order != shuffling.order(6, 1000)).any()
